//go:build !linux

package guard

import (
	"errors"
	"os"
)

// Link is the engine's end of the line to its guard; engines run on Linux.
type Link struct{}

func Connect() (*Link, error)                  { return nil, ErrNoGuard }
func (l *Link) GuardPID() int                  { return 0 }
func (l *Link) Generation() int                { return 0 }
func (l *Link) Restored() map[string]*os.File  { return nil }
func (l *Link) Done() <-chan struct{}          { return nil }
func (l *Link) Keep(string, *os.File) error    { return errors.ErrUnsupported }
func (l *Link) Drop(string) error              { return errors.ErrUnsupported }
func (l *Link) UseBinary(string) error         { return errors.ErrUnsupported }
func (l *Link) Serving() error                 { return errors.ErrUnsupported }
func (l *Link) Sync()                          {}
func (l *Link) Goodbye() error                 { return errors.ErrUnsupported }
func (l *Link) Exited(int, uint64) <-chan Exit { return nil }
func (l *Link) Forget(int, uint64)             {}
func (l *Link) Close() error                   { return nil }

// Trim does nothing; see the Linux version.
func Trim() {}

// Log is standard error; see the Linux version.
type Log struct{ Path string }

func (l *Log) Write(p []byte) (int, error) { return os.Stderr.Write(p) }
