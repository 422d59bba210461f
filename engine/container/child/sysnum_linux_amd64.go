package child

const (
	sysSetns   = 308
	sysFstatat = 262
	sysSeccomp = 317
)
