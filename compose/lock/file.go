package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const header = `# Written by devstack lock: the digests that the images of this project stand
# for. Keep it under version control; change it with devstack lock --update.
`

// maxFile bounds what is read, in bytes.
const maxFile = 16 << 20

// Marshal is the file's content: sorted, the same bytes for the same images.
func (f *File) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sversion: %d\nimages:", header, Version)
	if len(f.Images) == 0 {
		b.WriteString(" {}\n")
		return b.Bytes()
	}
	b.WriteByte('\n')
	for _, ref := range slices.Sorted(maps.Keys(f.Images)) {
		img := f.Images[ref]
		fmt.Fprintf(&b, "  %s:\n    digest: %s\n", scalar(ref), scalar(img.Digest))
		if len(img.Platforms) == 0 {
			continue
		}
		b.WriteString("    platforms:\n")
		for _, p := range slices.Sorted(maps.Keys(img.Platforms)) {
			fmt.Fprintf(&b, "      %s: %s\n", scalar(p), scalar(img.Platforms[p]))
		}
	}
	return b.Bytes()
}

// scalar quotes what is not obviously a plain string of YAML.
func scalar(s string) string {
	plain := s != "" && !strings.HasSuffix(s, ":") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:_-") == "" &&
		(s[0] >= 'a' && s[0] <= 'z') && strings.ContainsAny(s, "/:.")
	if plain {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// WriteFile replaces the lock at path, or leaves it as it was.
func (f *File) WriteFile(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // of a link, what it leads to is replaced
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+Name+"-")
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(f.Marshal())
	if err == nil {
		err = tmp.Chmod(modeOf(path))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write lock %s: %w", path, err)
	}
	return nil
}

// modeOf keeps the mode of a file that is replaced.
func modeOf(path string) os.FileMode {
	if fi, err := os.Stat(path); err == nil {
		return fi.Mode().Perm()
	}
	return 0o644
}

// ReadFile reads the lock at path. Without one the error is fs.ErrNotExist.
func ReadFile(path string) (*File, error) {
	// To open a named pipe would wait for somebody to write.
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read lock %s: it is no regular file", path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read lock %s: it is larger than %d bytes", path, maxFile)
	}
	return Parse(b, path)
}

// Fault is something wrong in a lock, with its line.
type Fault struct {
	File    string
	Line    int // 0: not known
	Message string
}

func (e *Fault) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Parse reads a lock; name is its path, for messages. All faults come at
// once, joined, each a *Fault.
func Parse(b []byte, name string) (*File, error) {
	if i := bytes.Index(append([]byte{'\n'}, b...), []byte("\n<<<<<<< ")); i >= 0 {
		line := bytes.Count(b[:i], []byte{'\n'}) + 1
		return nil, &Fault{name, line, "it has the marks of a merge conflict: take either side, then run devstack lock"}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, &Fault{name, 0, "it is not a lock: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	p := &parser{name: name, f: &File{Images: map[string]Image{}, name: name, lines: map[string]int{}}}
	if len(doc.Content) != 1 {
		p.fault(&doc, "it is empty")
	} else {
		p.file(doc.Content[0])
	}
	if err := errors.Join(p.faults...); err != nil {
		return nil, err
	}
	return p.f, nil
}

type parser struct {
	name   string
	f      *File
	faults []error
}

func (p *parser) fault(n *yaml.Node, format string, a ...any) {
	p.faults = append(p.faults, &Fault{p.name, n.Line, fmt.Sprintf(format, a...)})
}

// each visits the keys of a mapping.
func (p *parser) each(n *yaml.Node, what string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.fault(n, "%s is not a mapping", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			p.fault(key, "a key of %s is not a string", what)
		case seen[key.Value]:
			p.fault(key, "%q is there twice", key.Value)
		default:
			seen[key.Value] = true
			visit(key, value)
		}
	}
}

func (p *parser) file(n *yaml.Node) {
	version := false
	p.each(n, "the lock", func(key, value *yaml.Node) {
		switch key.Value {
		case "version":
			version = true
			if value.Value != strconv.Itoa(Version) {
				p.fault(value, "version %q is not %d: it was written by another devstack", value.Value, Version)
			}
		case "images":
			p.each(value, "images", p.image)
		default:
			p.fault(key, "%q is not known", key.Value)
		}
	})
	if !version && len(p.faults) == 0 {
		p.fault(n, "it has no version")
	}
}

func (p *parser) image(key, value *yaml.Node) {
	img := Image{}
	p.each(value, strconv.Quote(key.Value), func(k, v *yaml.Node) {
		switch k.Value {
		case "digest":
			img.Digest = p.digest(v)
		case "platforms":
			p.each(v, "platforms", func(k, v *yaml.Node) {
				if img.Platforms == nil {
					img.Platforms = map[string]string{}
				}
				img.Platforms[k.Value] = p.digest(v)
			})
		default:
			p.fault(k, "%q is not known", k.Value)
		}
	})
	if img.Digest == "" && value.Kind == yaml.MappingNode {
		p.fault(key, "%s has no digest", key.Value)
	}
	p.f.Images[key.Value], p.f.lines[key.Value] = img, key.Line
}

func (p *parser) digest(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || !isDigest(n.Value) {
		p.fault(n, "%q is no digest (want sha256:<64 hex digits>)", n.Value)
		return "?"
	}
	return n.Value
}

func isDigest(s string) bool {
	alg, hex, _ := strings.Cut(s, ":")
	if want := map[string]int{"sha256": 64, "sha512": 128}[alg]; len(hex) != want || want == 0 {
		return false
	}
	return strings.Trim(hex, "0123456789abcdef") == ""
}
