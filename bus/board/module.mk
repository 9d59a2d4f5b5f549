MODULE := bus/board
NEEDS  := lib/base
$(eval $(module))
