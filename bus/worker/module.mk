MODULE := bus/worker
NEEDS  := bus/peer bus/board bus/wire lib/store lib/base schemas
LIBS   := -lcap
$(eval $(module))
