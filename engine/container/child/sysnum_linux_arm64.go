package child

const (
	sysSetns    = 268
	sysExecveat = 281
	sysSeccomp  = 277
)
