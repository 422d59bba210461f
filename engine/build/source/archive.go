package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"devstack/engine/image/layer"
)

const (
	bzip2Magic = "BZh"
	xzMagic    = "\xfd7zXZ\x00"
)

// ErrNoXZ says that an archive needs a program which is not installed.
var ErrNoXZ = errors.New("it is compressed with xz, and the program xz, which unpacks that, is not installed (use gzip, zstd or bzip2, or install xz-utils)")

// Decompress gives the plain bytes of what may be compressed with gzip, zstd,
// bzip2 or xz, told from its first bytes.
func Decompress(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(bzip2Magic)):
		return io.NopCloser(bzip2.NewReader(br)), nil
	case bytes.HasPrefix(head, []byte(xzMagic)):
		return unxz(ctx, br)
	}
	plain, _, err := layer.Decompress(ctx, br, nil)
	return plain, err
}

// unxz runs xz(1), as Docker does: there is no library for it among the
// dependencies, and such archives are common.
func unxz(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	path, err := exec.LookPath("xz")
	if err != nil {
		return nil, ErrNoXZ
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, "--decompress", "--stdout", "--quiet", "--memlimit-decompress=1GiB")
	cmd.Env = []string{} // XZ_OPT would add arguments
	cmd.Stdin = r
	x := &xzReader{cmd: cmd, cancel: cancel}
	cmd.Stderr = &x.said
	x.out, err = cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("run xz: %w", err)
	}
	return x, nil
}

type xzReader struct {
	cmd    *exec.Cmd
	cancel func()
	out    io.ReadCloser
	said   bytes.Buffer
	done   bool
	err    error
}

// Read ends with xz's own verdict, so that a damaged file is not a short one.
func (x *xzReader) Read(p []byte) (int, error) {
	if x.done {
		return 0, x.err
	}
	n, err := x.out.Read(p)
	if err != io.EOF {
		return n, err
	}
	x.done, x.err = true, io.EOF
	if err := x.cmd.Wait(); err != nil {
		x.err = fmt.Errorf("unpack xz: %w: %s", err, strings.TrimSpace(x.said.String()))
	}
	if n > 0 {
		return n, nil
	}
	return 0, x.err
}

func (x *xzReader) Close() error {
	x.cancel()
	if !x.done {
		x.done, x.err = true, io.ErrClosedPipe
		x.out.Close()
		x.cmd.Wait() // killed: its verdict is of no interest
	}
	return nil
}

// IsArchive says whether r, which is read from, is a tar archive, compressed
// or not. Only its content tells, as with ADD. An error says that it may be
// one, but not here.
func IsArchive(ctx context.Context, r io.Reader) (bool, error) {
	plain, err := Decompress(ctx, r)
	if errors.Is(err, ErrNoXZ) {
		return false, err
	}
	if err != nil {
		return false, nil // what looks compressed but is not is a file
	}
	defer plain.Close()
	_, err = tar.NewReader(plain).Next()
	return err == nil || errors.Is(err, tar.ErrInsecurePath), nil
}
