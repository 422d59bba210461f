package volumes

import "errors"

var (
	// ErrNotFound means that no volume has the name.
	ErrNotFound = errors.New("no such volume")
	// ErrBadName means that a name cannot be a volume's.
	ErrBadName = errors.New("bad volume name: use letters, digits, '_', '.' and '-', beginning with a letter or digit")
	// ErrBadDriver means that only the driver "local" exists here.
	ErrBadDriver = errors.New(`unknown volume driver: only "local" is available`)
)
