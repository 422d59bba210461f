package layer

import (
	"cmp"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Limits bound what one layer may unpack to. A zero field means its default.
type Limits struct {
	Bytes   int64 // of the uncompressed stream, holes of sparse files included; default 64 GiB
	Entries int   // default 4 million
	// Devices allows device nodes other than the harmless ones that every
	// container has (null, zero, tty, ...).
	Devices bool
	// Memory is shared by layers that unpack at the same time; nil: unlimited.
	Memory Memory
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 30
	}
	if l.Entries == 0 {
		l.Entries = 4_000_000
	}
	return l
}

// MaxBytes is Bytes or its default.
func (l Limits) MaxBytes() int64 { return l.withDefaults().Bytes }

// RefusedError says that a layer asks for something no layer may have.
type RefusedError struct {
	What   string // is refused, "" for a layer
	Entry  string // the name in the archive, "" for the layer as a whole
	Reason string
	Limit  bool // one of Limits is reached
}

func (e *RefusedError) Error() string {
	what := cmp.Or(e.What, "layer")
	if e.Entry == "" {
		return what + " refused: " + e.Reason
	}
	return fmt.Sprintf("%s refused: entry %q %s", what, e.Entry, e.Reason)
}

func refuse(entry, format string, a ...any) error {
	return &RefusedError{Entry: entry, Reason: fmt.Sprintf(format, a...)}
}

func exceed(entry, format string, a ...any) error {
	return &RefusedError{Entry: entry, Reason: fmt.Sprintf(format, a...), Limit: true}
}

// DigestError says that content is not what its digest promised: it was cut
// short, damaged or replaced.
type DigestError struct {
	What      string // "layer", "layer content"
	Want, Got digest.Digest
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s is corrupt: its digest is %s, not %s", e.What, e.Got, e.Want)
}

// SizeError says that a blob is shorter or longer than announced.
type SizeError struct{ Want, Got int64 }

func (e *SizeError) Error() string {
	if e.Got < e.Want {
		return fmt.Sprintf("layer is truncated: %d of %d bytes", e.Got, e.Want)
	}
	return fmt.Sprintf("layer is longer than the %d bytes announced", e.Want)
}
