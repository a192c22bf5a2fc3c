# SPDX-License-Identifier: Apache-2.0
dist_check_SCRIPTS += tests/lint/lint tests/lint/coverage tests/lint/manual
TAP_TESTS += tests/lint/lint tests/lint/coverage tests/lint/manual
EXTRA_DIST += tests/lint/rules.py doc/dog-coverage.md doc/backup-format.md
