# SPDX-License-Identifier: Apache-2.0
sbin_PROGRAMS += sheep/sheep
sheep_sheep_SOURCES = sheep/address.c sheep/address.h sheep/main.c sheep/options.c sheep/options.h
sheep_sheep_LDADD = sheep/loop/libloop.a sheep/net/libnet.a sheep/member/libmember.a \
	sheep/store/libstore.a sheep/core/libcore.a lib/ec/libec.a lib/place/libplace.a \
	lib/wire/libwire.a lib/tls/libtls.a lib/base/libbase.a $(OPENSSL_LIBS) $(EV_LIBS) $(ZOOKEEPER_LIBS) $(COROSYNC_LIBS) $(LMDB_LIBS) $(ISAL_LIBS) \
	$(PROTOBUF_C_LIBS) -lpthread
