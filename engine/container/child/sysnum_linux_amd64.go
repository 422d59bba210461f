package child

const (
	sysSetns    = 308
	sysExecveat = 322
	sysSeccomp  = 317
)
