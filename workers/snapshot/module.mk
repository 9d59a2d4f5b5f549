MODULE := workers/snapshot
NEEDS  := bus/worker lib/oci lib/store lib/filter bus/peer bus/board bus/wire lib/base schemas
LIBS   := -l:libarchive.a -l:libz.a -lisal -lzstd -l:libseccomp.a -lcap -lpthread
$(eval $(module))

PROGRAM := coffer-snapshot
AT      := libexec/
MAIN    := workers/snapshot/main.c
NEEDS   := workers/snapshot
$(eval $(program))
