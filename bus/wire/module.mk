MODULE := bus/wire
NEEDS  := lib/base schemas
LIBS   := -lmsgpackc
$(eval $(module))
