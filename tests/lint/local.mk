dist_check_SCRIPTS += tests/lint/lint
TAP_TESTS += tests/lint/lint
EXTRA_DIST += tests/lint/rules.py
