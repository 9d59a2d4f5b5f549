MODULE := workers/task/shim
NEEDS  := lib/ttrpc lib/base
LIBS   := -l:libmd.a
$(eval $(module))

PROGRAM := containerd-shim-coffer-v1
MAIN    := workers/task/shim/main.c
NEEDS   := workers/task/shim
$(eval $(program))

# The test starts the shim that was built with it.
$(O)/unit/workers/task/shim/test_shim: | $(O)/containerd-shim-coffer-v1
