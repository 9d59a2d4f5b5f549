# make install, make uninstall: where the programs and all that belongs to them go.
#
#   PREFIX   /usr/local; BINDIR, LIBEXECDIR, MANDIR, UNITDIR follow it (see the Makefile)
#   DESTDIR  a folder in front of everything, for packages; then no user is made and nothing is reloaded
#
# The shim goes beside cofferd, where containerd looks for shims too. What install writes, uninstall
# removes: configuration that was changed and users stay.

SYSCONFDIR  ?= /etc
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
COMPDIR     ?= $(PREFIX)/share/bash-completion/completions

INSTALLED_PROGRAMS := cofferd ctr containerd-shim-coffer-v1
INSTALLED_WORKERS  := coffer-content coffer-snapshot coffer-task coffer-events

.PHONY: install-files install-users uninstall

install: install-files install-users

install-files: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man8 \
	    $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(COMPDIR) $(DESTDIR)$(SYSCONFDIR)/coffer
	install -m 755 $(addprefix build/,$(INSTALLED_PROGRAMS)) $(DESTDIR)$(BINDIR)
	install -m 755 $(addprefix build/libexec/,$(INSTALLED_WORKERS)) $(DESTDIR)$(LIBEXECDIR)
	install -m 644 dist/man/cofferd.8 $(DESTDIR)$(MANDIR)/man8
	build/ctr manual > $(DESTDIR)$(MANDIR)/man1/ctr.1
	build/ctr completion bash > $(DESTDIR)$(COMPDIR)/ctr
	chmod 644 $(DESTDIR)$(MANDIR)/man1/ctr.1 $(DESTDIR)$(COMPDIR)/ctr
	sed 's,@BINDIR@,$(BINDIR),g' dist/cofferd.service > $(DESTDIR)$(UNITDIR)/cofferd.service
	chmod 644 $(DESTDIR)$(UNITDIR)/cofferd.service
	install -m 644 dist/coffer.sysusers $(DESTDIR)$(SYSUSERSDIR)/coffer.conf
	install -m 644 dist/config.toml $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml.example
	test -e $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml || \
	    install -m 644 dist/config.toml $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml

# Users are this host's, so only an installation for this host makes them.
install-users: install-files
ifeq ($(DESTDIR),)
	@if [ "$$(id -u)" != 0 ]; then \
		echo "install: users coffer-* are made by root only; run: sudo make install" >&2; \
	elif command -v systemd-sysusers >/dev/null; then \
		systemd-sysusers $(SYSUSERSDIR)/coffer.conf; \
	else \
		getent group coffer >/dev/null || groupadd -r coffer; \
		for w in content snapshot task events; do \
			getent passwd coffer-$$w >/dev/null || \
			    useradd -r -U -G coffer -d /nonexistent -M -s /usr/sbin/nologin coffer-$$w; \
		done; \
		usermod -a -G coffer-content coffer-snapshot; \
	fi
	@if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
endif

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(INSTALLED_PROGRAMS)) \
	    $(addprefix $(DESTDIR)$(LIBEXECDIR)/,$(INSTALLED_WORKERS)) \
	    $(DESTDIR)$(MANDIR)/man1/ctr.1 $(DESTDIR)$(MANDIR)/man8/cofferd.8 $(DESTDIR)$(COMPDIR)/ctr \
	    $(DESTDIR)$(UNITDIR)/cofferd.service $(DESTDIR)$(SYSUSERSDIR)/coffer.conf \
	    $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml.example
	test ! -e $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml || \
	    ! cmp -s dist/config.toml $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml || \
	    rm -f $(DESTDIR)$(SYSCONFDIR)/coffer/config.toml
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(SYSCONFDIR)/coffer 2>/dev/null || true
ifeq ($(DESTDIR),)
	@if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
endif
