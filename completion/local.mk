# SPDX-License-Identifier: Apache-2.0
bashcompdir = $(datadir)/bash-completion/completions
zshcompdir = $(datadir)/zsh/site-functions
EXTRA_DIST += completion/dog.bash completion/dog.zsh

# Under the names that the shells look for.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(bashcompdir) $(DESTDIR)$(zshcompdir)
	$(INSTALL_DATA) $(top_srcdir)/completion/dog.bash $(DESTDIR)$(bashcompdir)/dog
	ln -sf dog $(DESTDIR)$(bashcompdir)/sheep
	$(INSTALL_DATA) $(top_srcdir)/completion/dog.zsh $(DESTDIR)$(zshcompdir)/_dog
uninstall-local:
	rm -f $(DESTDIR)$(bashcompdir)/dog $(DESTDIR)$(bashcompdir)/sheep $(DESTDIR)$(zshcompdir)/_dog

dist_check_SCRIPTS += tests/unit/dog_complete_test
TAP_TESTS += tests/unit/dog_complete_test
