# SPDX-License-Identifier: Apache-2.0
dist_check_SCRIPTS += doc/model/check
TAP_TESTS += doc/model/check
EXTRA_DIST += doc/model/pg.pml doc/consistency.md
