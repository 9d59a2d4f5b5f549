MODULE := bus/peer
NEEDS  := bus/wire lib/base schemas
LIBS   := -lzmq
$(eval $(module))
