# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += man/dog.8 man/sheep.8
