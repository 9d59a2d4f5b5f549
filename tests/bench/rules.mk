# The bus round trip, and the filling of a large store, are small programs of their own.
$(O)/bench/roundtrip $(O)/bench/echo: BENCHED := bus/peer
$(O)/bench/store_fill: BENCHED := workers/content
$(O)/bench/%: $(O)/obj/tests/bench/%.o $(call archives,workers/content bus/peer)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call libs,$(BENCHED))

bench: $(O)/bench/roundtrip $(O)/bench/echo $(O)/bench/store_fill
