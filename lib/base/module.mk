MODULE := lib/base
$(eval $(module))
