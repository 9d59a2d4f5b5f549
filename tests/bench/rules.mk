# The bus round trip is measured by small programs of their own.
$(O)/bench/%: $(O)/obj/tests/bench/%.o $(call archives,bus/peer)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call libs,bus/peer)

bench: $(O)/bench/roundtrip $(O)/bench/echo
