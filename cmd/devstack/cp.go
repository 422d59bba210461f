package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
	"devstack/engine/archive"
)

func newCpCmd(e *env) *cobra.Command {
	var req api.CopyRequest
	cmd := &cobra.Command{
		Use:   "cp [OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n\tdevstack cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
		Short: "Copy files/folders between a service container and the local filesystem",
		Args:  exactArgs(2, "SOURCE", "DESTINATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCp(cmd.Context(), e, req, args[0], args[1])
		},
		ValidArgsFunction: e.servicePaths,
	}
	f := cmd.Flags()
	f.IntVar(&req.Index, "index", 0, "Index of the container if service has multiple replicas")
	f.BoolVar(&req.All, "all", false, "Include containers created by the run command")
	f.BoolVarP(&req.FollowLink, "follow-link", "L", false, "Always follow symbol link in SRC_PATH")
	f.BoolVarP(&req.Archive, "archive", "a", false, "Archive mode (copy all uid/gid information)")
	return cmd
}

func runCp(ctx context.Context, e *env, req api.CopyRequest, from, to string) error {
	if e.flags.dryRun {
		return errDryRun
	}
	source, inSource, fromContainer := cutService(from)
	target, inTarget, toContainer := cutService(to)
	switch {
	case fromContainer && toContainer:
		return errors.New("copying between services is not supported")
	case fromContainer:
		req.Service, req.Path = source, inSource
	case toContainer:
		req.Service, req.Path = target, inTarget
	default:
		return errors.New("unknown copy direction: one of the paths must be SERVICE:PATH")
	}
	if req.Path == "" {
		return fmt.Errorf("name a path of service %s: %s:PATH", req.Service, req.Service)
	}
	c, name, err := e.dialFor(ctx, req.Service)
	if err != nil {
		return err
	}
	defer c.Close()
	req.Name = name
	if fromContainer {
		return e.copyFrom(ctx, c, req, to)
	}
	return e.copyTo(ctx, c, req, from)
}

// cutService splits SERVICE:PATH. What begins like a path, or has no colon, is
// a path of this machine.
func cutService(arg string) (service, path string, ok bool) {
	if filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return "", arg, false
	}
	service, path, ok = strings.Cut(arg, ":")
	if !ok {
		return "", arg, false
	}
	return service, path, true
}

// copyTo sends a file or tree of this machine, or an archive from stdin.
func (e *env) copyTo(ctx context.Context, c *client.Client, req api.CopyRequest, from string) error {
	if from == "-" {
		return e.progress("cp", func(emit func(api.Message)) error { return c.CopyTo(ctx, req, e.stdin, emit) })
	}
	path, root, name, err := e.localSource(from, req.FollowLink)
	if err != nil {
		return err
	}
	defer root.Close()
	req.Source, req.Contents = filepath.Base(path), writtenAsContents(from)
	r, w := io.Pipe()
	defer r.Close()
	packed := make(chan error, 1)
	go func() {
		err := archive.Pack(ctx, w, root, name, req.Source)
		w.CloseWithError(err)
		packed <- err
	}()
	err = e.progress("cp", func(emit func(api.Message)) error { return c.CopyTo(ctx, req, r, emit) })
	r.Close()
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return perr // what the engine says of a broken archive is the consequence
	}
	return err
}

// localSource finds what to copy: the path, and the entry of a directory. A
// link is copied as one, unless it is followed or written as a directory.
func (e *env) localSource(from string, follow bool) (path string, root *os.Root, name string, err error) {
	path = filepath.Clean(e.path(from))
	actual := path
	if follow || writtenAsDir(from) {
		if actual, err = filepath.EvalSymlinks(path); err != nil {
			return "", nil, "", err
		}
	}
	fi, err := os.Lstat(actual)
	if err != nil {
		return "", nil, "", err
	}
	if writtenAsDir(from) && !fi.IsDir() {
		return "", nil, "", fmt.Errorf("%s is not a directory", from)
	}
	if fi.IsDir() {
		root, err = os.OpenRoot(actual)
		return path, root, ".", err
	}
	root, err = os.OpenRoot(filepath.Dir(actual))
	return path, root, filepath.Base(actual), err
}

// writtenAsDir says whether a path ends as only a directory's may.
func writtenAsDir(path string) bool {
	path = filepath.ToSlash(path)
	return strings.HasSuffix(path, "/") || writtenAsContents(path)
}

// writtenAsContents is the form dir/. that means what is in the directory.
func writtenAsContents(path string) bool {
	path = filepath.ToSlash(path)
	return path == "." || strings.HasSuffix(path, "/.")
}

// copyFrom fetches a file or tree, or writes its archive to stdout.
func (e *env) copyFrom(ctx context.Context, c *client.Client, req api.CopyRequest, to string) error {
	if to == "-" {
		if isTerminal(e.stdout) {
			return errors.New("cowardly refusing to write an archive to a terminal")
		}
		return c.CopyFrom(ctx, req, e.stdout, nil)
	}
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := e.unpackAt(ctx, r, to, req)
		r.CloseWithError(err)
		unpacked <- err
	}()
	err := e.progress("cp", func(emit func(api.Message)) error {
		err := c.CopyFrom(ctx, req, w, emit)
		w.CloseWithError(err)
		return err
	})
	if uerr := <-unpacked; err == nil || uerr != nil && errors.Is(err, uerr) {
		return uerr
	}
	return err
}

// unpackAt puts what an archive holds where `cp` would.
func (e *env) unpackAt(ctx context.Context, r io.Reader, to string, req api.CopyRequest) error {
	a, err := archive.Open(r)
	if err != nil {
		return err
	}
	path := filepath.Clean(e.path(to))
	fi, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	inside, name, err := archive.Place(
		archive.Source{Base: baseOf(req.Path), Dir: a.Dir(), Contents: strings.HasSuffix(req.Path, "/.")},
		archive.Target{Path: to, Base: filepath.Base(path), Exists: fi != nil, Dir: fi != nil && fi.IsDir(), Slash: writtenAsDir(to)},
	)
	if err != nil {
		return err
	}
	if !inside {
		path = filepath.Dir(path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := a.Unpack(ctx, root, archive.Options{Rename: name, Owners: req.Archive}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r) // the archive's padding
	return err
}

// baseOf is the last part of a container's path.
func baseOf(p string) string {
	p = strings.TrimRight(strings.TrimSuffix(p, "/."), "/")
	return p[strings.LastIndexByte(p, '/')+1:]
}

// servicePaths completes "SERVICE:" or a file of this machine.
func (e *env) servicePaths(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if len(args) == 1 {
		if _, _, ok := cutService(args[0]); ok {
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	names, _ := e.serviceNames(cmd, nil, word)
	for i, n := range names {
		names[i] = n + ":"
	}
	return names, cobra.ShellCompDirectiveNoSpace
}
