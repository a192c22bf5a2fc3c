dist_noinst_SCRIPTS = tools/build tools/install-deps tools/test
