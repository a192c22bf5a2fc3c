# SPDX-License-Identifier: Apache-2.0
# Built by a test, against the library as it is installed.
EXTRA_DIST += examples/store_and_read.c
