package child

const (
	sysSetns   = 268
	sysFstatat = 79
	sysSeccomp = 277
)
