package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile is the largest project or environment file that is read, in bytes.
const maxFile = 32 << 20

// readFile reads a file whole, up to maxFile. Reading what is not an ordinary
// file, such as a pipe, ends with ctx.
func readFile(ctx context.Context, path string) ([]byte, error) {
	f, err := openFile(ctx, path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, bare(err)
	case fi.IsDir():
		return nil, errors.New("it is a directory, not a file")
	case fi.Mode().IsRegular():
		data, err := readAll(f)
		return data, bare(err)
	}
	data, err := readStream(ctx, f)
	return data, bare(err)
}

// openFile opens a file for reading; a pipe waits for its writer, or for ctx.
func openFile(ctx context.Context, path string) (*os.File, error) {
	if fi, err := os.Stat(path); err != nil || fi.Mode().IsRegular() || fi.IsDir() {
		return os.Open(path)
	}
	return within(ctx, func() (*os.File, error) { return os.Open(path) })
}

// readStream reads what may take any time, until ctx ends.
func readStream(ctx context.Context, r io.Reader) ([]byte, error) {
	return within(ctx, func() ([]byte, error) { return readAll(r) })
}

// within waits for do, or for ctx; do is left behind then.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := do()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return data, nil
}

// bare leaves out operation and path, which the message has already.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
