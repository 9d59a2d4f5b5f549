# The bus round trip, the root of a container, the filling of a large store and unpacking alone are small programs of their own.
$(O)/bench/roundtrip $(O)/bench/echo $(O)/bench/roots: BENCHED := bus/peer
$(O)/bench/store_fill: BENCHED := workers/content
$(O)/bench/unpack: BENCHED := workers/snapshot
$(O)/bench/%: $(O)/obj/tests/bench/%.o $(call archives,workers/content workers/snapshot bus/peer)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call libs,$(BENCHED))

bench: $(O)/bench/roundtrip $(O)/bench/echo $(O)/bench/roots $(O)/bench/store_fill $(O)/bench/unpack
