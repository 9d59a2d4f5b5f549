MODULE := workers/task/shim
NEEDS  := lib/ttrpc lib/base
LIBS   := -l:libmd.a
$(eval $(module))

PROGRAM := containerd-shim-coffer-v1
MAIN    := workers/task/shim/main.c
NEEDS   := workers/task/shim
$(eval $(program))
