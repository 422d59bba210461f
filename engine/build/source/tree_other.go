//go:build !linux

package source

import (
	"context"
	"errors"
	"os"
	"time"
)

// Tree is a read-only view of a directory; only Linux has builds.
type Tree struct{}

// FromRoot fails.
func FromRoot(root *os.File, _ Options) (*Tree, error) {
	root.Close()
	return nil, errors.ErrUnsupported
}

// Open fails.
func Open(context.Context, Spec, Options) (*Tree, error) { return nil, errors.ErrUnsupported }

// OpenRemote fails.
func OpenRemote(context.Context, Spec, Options) (*Tree, error) { return nil, errors.ErrUnsupported }

// Revision is empty.
func (*Tree) Revision() (string, time.Time) { return "", time.Time{} }

// Sweep does nothing.
func Sweep(string) error { return nil }

// Close does nothing.
func (*Tree) Close() error { return nil }

// Name is empty.
func (*Tree) Name() string { return "" }

// Single is empty.
func (*Tree) Single() string { return "" }

// Owned is false.
func (*Tree) Owned() bool { return false }

// Root is nil.
func (*Tree) Root() *Entry { return nil }

// Children fails.
func (*Tree) Children(*Entry) ([]*Entry, error) { return nil, errors.ErrUnsupported }

// Resolve fails.
func (*Tree) Resolve(string) (*Entry, error) { return nil, errors.ErrUnsupported }

// ReadFile fails.
func (*Tree) ReadFile(string, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

// Hash fails.
func (*Tree) Hash(context.Context, []*Entry) error { return errors.ErrUnsupported }

// Digest is zero.
func (*Entry) Digest() [32]byte { return [32]byte{} }
