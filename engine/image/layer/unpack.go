package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Unpack writes the entries of a tar stream beneath the empty directory dir.
// It reads up to the end of the archive, not to the end of r.
func Unpack(ctx context.Context, r io.Reader, dir string, limits Limits) (err error) {
	limits = limits.withDefaults()
	t, err := openTree(dir)
	if err != nil {
		return fmt.Errorf("open layer directory: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	tr := tar.NewReader(r)
	left := limits.Bytes
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are judged below
			return fmt.Errorf("read layer: %w", err)
		}
		if n >= limits.Entries {
			return exceed("", "it has more than %d entries", limits.Entries)
		}
		if left -= hdr.Size; hdr.Size < 0 || left < 0 {
			return exceed(hdr.Name, "takes the layer over its limit of %d bytes", limits.Bytes)
		}
		if err := unpackEntry(t, hdr, tr, limits); err != nil {
			return err
		}
	}
}

func unpackEntry(t *tree, hdr *tar.Header, content io.Reader, limits Limits) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	path, err := cleanName(hdr.Name)
	if err != nil {
		return err
	}
	kind, path, err := classify(path, hdr.Name)
	if err != nil {
		return err
	}
	m := metaOf(hdr)
	switch kind {
	case ordinary:
		err = place(t, path, hdr, m, content, limits)
	case whiteout:
		err = t.whiteout(path, m)
	case opaque:
		err = t.opaque(path, m)
	}
	var refused *RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		if refused.Entry == "" {
			refused.Entry = hdr.Name
		}
		return refused
	}
	return fmt.Errorf("unpack %q: %w", hdr.Name, err)
}

func place(t *tree, path string, hdr *tar.Header, m meta, content io.Reader, limits Limits) error {
	if path == "" && hdr.Typeflag != tar.TypeDir {
		return refuse(hdr.Name, "replaces the root directory")
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		return t.dir(path, m)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return t.file(path, m, content, isSparse(hdr))
	case tar.TypeSymlink:
		return t.symlink(path, hdr.Linkname, m)
	case tar.TypeLink:
		target, err := cleanName(hdr.Linkname)
		if err != nil {
			return refuse(hdr.Name, "is a hard link to %q, outside the layer", hdr.Linkname)
		}
		return t.link(path, target, m)
	case tar.TypeFifo:
		return t.node(path, m, modeFifo, 0, 0)
	case tar.TypeChar, tar.TypeBlock:
		if !limits.Devices && !Harmless(hdr) {
			return refuse(hdr.Name, "is a device node (%c %d:%d)", kindLetter(hdr), hdr.Devmajor, hdr.Devminor)
		}
		kind := uint32(modeChar)
		if hdr.Typeflag == tar.TypeBlock {
			kind = modeBlock
		}
		return t.node(path, m, kind, uint32(hdr.Devmajor), uint32(hdr.Devminor))
	}
	return refuse(hdr.Name, "is of the unknown type %q", hdr.Typeflag)
}

// The kinds of stat(2).
const (
	modeFifo  = 0o010000
	modeChar  = 0o020000
	modeBlock = 0o060000
)

func kindLetter(hdr *tar.Header) byte {
	if hdr.Typeflag == tar.TypeBlock {
		return 'b'
	}
	return 'c'
}

// Harmless tells the character devices that every container may use anyway,
// and 0:0, which is overlayfs' whiteout.
func Harmless(hdr *tar.Header) bool {
	if hdr.Typeflag != tar.TypeChar {
		return false
	}
	switch hdr.Devmajor {
	case 0:
		return hdr.Devminor == 0
	case 1: // null, zero, full, random, urandom
		switch hdr.Devminor {
		case 3, 5, 7, 8, 9:
			return true
		}
	case 5: // tty, console, ptmx
		return hdr.Devminor <= 2
	}
	return false
}

// meta is what a tree keeps of an entry beside its content.
type meta struct {
	mode         uint32 // permissions with setuid, setgid and sticky
	uid, gid     int
	atime, mtime time.Time
	xattrs       map[string]string // nil for almost every entry
}

const paxXattr = "SCHILY.xattr."

func metaOf(hdr *tar.Header) meta {
	m := meta{mode: uint32(hdr.Mode) & 0o7777, uid: hdr.Uid, gid: hdr.Gid, atime: hdr.AccessTime, mtime: hdr.ModTime}
	if m.atime.IsZero() {
		m.atime = m.mtime
	}
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxXattr); ok && keepsXattr(name) {
			if m.xattrs == nil {
				m.xattrs = map[string]string{}
			}
			m.xattrs[name] = value
		}
	}
	return m
}

// keepsXattr drops what would speak to this host rather than to the image:
// overlayfs' own attributes, which could redirect lookups to other layers,
// and the labels of another machine's SELinux.
func keepsXattr(name string) bool {
	return !strings.HasPrefix(name, "trusted.overlay.") && !strings.HasPrefix(name, "user.overlay.") &&
		name != "security.selinux"
}

func isSparse(hdr *tar.Header) bool {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
