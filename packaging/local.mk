# SPDX-License-Identifier: Apache-2.0
# Below the prefix, so that an unprivileged install works; with --prefix=/usr they are where systemd looks.
systemdsystemunitdir = $(prefix)/lib/systemd/system
systemdsystemunit_DATA = packaging/sheep.service
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = packaging/sheepfold.conf
examplesdir = $(pkgdatadir)
examples_DATA = packaging/sheep.default

packaging/sheep.service: $(top_srcdir)/packaging/sheep.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) packaging && sed 's|@sbindir[@]|$(sbindir)|' \
		$(top_srcdir)/packaging/sheep.service.in >$@
packaging/sheepfold.conf: $(top_srcdir)/packaging/sheepfold.sysusers
	$(AM_V_GEN)$(MKDIR_P) packaging && cp $(top_srcdir)/packaging/sheepfold.sysusers $@

CLEANFILES += packaging/sheep.service packaging/sheepfold.conf
EXTRA_DIST += packaging/sheep.service.in packaging/sheepfold.sysusers packaging/sheep.default
