# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += sheep/member/libmember.a
sheep_member_libmember_a_SOURCES = sheep/member/local.c sheep/member/member.c \
	sheep/member/member.h sheep/member/register.c sheep/member/register.h
