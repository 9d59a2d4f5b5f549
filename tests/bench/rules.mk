# The bus round trip is measured by a small program of its own.
$(O)/bench/roundtrip: $(O)/obj/tests/bench/roundtrip.o $(call archives,bus/peer)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call libs,bus/peer)

bench: $(O)/bench/roundtrip
