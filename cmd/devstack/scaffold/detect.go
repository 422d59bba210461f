package scaffold

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Proposal is what a repository seems to be made of.
type Proposal struct {
	Services  []Service // in the order of their folders
	Databases []Database
}

// Service is a part of the repository that runs.
type Service struct {
	Name     string
	Dir      string // relative to the repository, "." for its root
	Language string // as people write it: Go, Node.js
	Build    bool   // it has a Dockerfile
	Image    string // otherwise
	Command  string
	Mount    string // where the source goes
	Cache    map[string]string
	Port     string
	Uses     []string // databases, by name
	spring   bool     // it is a program of Spring Boot
}

// maxRead bounds what is read of a file.
const maxRead = 1 << 20

// nested are the folders whose own folders are looked at, too.
var nested = []string{"apps", "packages", "services", "cmd"}

// Detect looks at a repository.
func Detect(repo fs.FS) (Proposal, error) {
	var p Proposal
	root := folder{repo, "."}
	main, ok := root.service()
	if ok {
		p.add(main, root)
	}
	dirs, err := root.below()
	if err != nil {
		return p, err
	}
	for _, d := range dirs {
		f := folder{repo, d}
		if main.Language == "PHP" && !f.has("composer.json") && !f.has("Dockerfile") && f.has("index.php") {
			continue // what the program at the top serves
		}
		p.visit(f)
		if !slices.Contains(nested, d) {
			continue
		}
		inner, err := f.below()
		if err != nil {
			return p, err
		}
		for _, i := range inner {
			p.visit(folder{repo, i})
		}
	}
	return p, nil
}

// visit takes a folder that is a service of its own. In the folder of a
// program in Go the packages are not.
func (p *Proposal) visit(f folder) {
	if s, ok := f.service(); ok {
		p.add(s, f)
	}
}

func (p *Proposal) add(s Service, f folder) {
	for _, db := range databases() {
		if !f.mentions(db) {
			continue
		}
		s.Uses = append(s.Uses, db.Name)
		if !slices.ContainsFunc(p.Databases, func(d Database) bool { return d.Name == db.Name }) {
			p.Databases = append(p.Databases, db)
		}
	}
	for n, base := 2, s.Name; slices.ContainsFunc(p.Services, func(o Service) bool { return o.Name == s.Name }); n++ {
		s.Name = base + "-" + strconv.Itoa(n)
	}
	p.Services = append(p.Services, s)
}

// folder is one directory of the repository.
type folder struct {
	repo fs.FS
	dir  string
}

func (f folder) has(name string) bool {
	fi, err := fs.Stat(f.repo, path.Join(f.dir, name))
	return err == nil && !fi.IsDir()
}

// read gives a file's beginning; "" where there is none.
func (f folder) read(name string) string {
	b, err := fs.ReadFile(f.repo, path.Join(f.dir, name))
	if err != nil {
		return ""
	}
	return string(b[:min(len(b), maxRead)])
}

// below are the folders in it, but for those of tools.
func (f folder) below() (dirs []string, err error) {
	entries, err := fs.ReadDir(f.repo, f.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n := e.Name()
		skip := strings.HasPrefix(n, ".") || slices.Contains([]string{"node_modules", "vendor", "target", "dist", "build", "testdata", "docs"}, n)
		if e.IsDir() && !skip {
			dirs = append(dirs, path.Join(f.dir, n))
		}
	}
	return dirs, nil
}

// glob are the names of files that match a pattern.
func (f folder) glob(pattern string) []string {
	names, _ := fs.Glob(f.repo, path.Join(f.dir, pattern)) // the patterns are ours
	return names
}

func (f folder) name() string {
	if f.dir == "." {
		return "app"
	}
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, path.Base(f.dir)), "-._")
}

// service finds out what a folder runs.
func (f folder) service() (Service, bool) {
	s := Service{Name: f.name(), Dir: f.dir}
	for _, detect := range []func(folder, *Service) bool{golang, node, python, ruby, java, rust, php} {
		if detect(f, &s) {
			break
		}
	}
	if port := f.port(s); port != "" {
		s.Port = port
	}
	if f.has("Dockerfile") {
		s.Build, s.Image, s.Command, s.Mount, s.Cache = true, "", "", "", nil
		if port := exposedPort(f.read("Dockerfile")); port != "" {
			s.Port = port
		}
	}
	return s, (s.Build || s.Image != "") && s.Name != ""
}

// port is the one that the program's own files name.
func (f folder) port(s Service) string {
	switch s.Language {
	case "Go":
		program := first(`go run (\S+)`, s.Command)
		return first(`":(\d{2,5})"`, f.read(path.Join(program, "main.go")))
	case "Java":
		properties := f.read("src/main/resources/application.properties")
		settings := f.read("src/main/resources/application.yml") + f.read("src/main/resources/application.yaml")
		return cmp.Or(
			first(`(?m)^(?:server|quarkus\.http)\.port *[=:] *(?:\$\{\w+:)?(\d{2,5})`, properties),
			first(`(?m)^server:\s*\n(?: .*\n)*? +port: *(?:\$\{\w+:)?(\d{2,5})`, settings),
		)
	case "Rust":
		return first(`"(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::\]):(\d{2,5})"`, f.read("src/main.rs"))
	}
	return ""
}

// exposedPort is the first port that a Dockerfile exposes.
func exposedPort(text string) string {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 1 && strings.EqualFold(f[0], "EXPOSE") {
			port, _, _ := strings.Cut(f[1], "/")
			if port != "" && strings.Trim(port, "0123456789") == "" {
				return port
			}
		}
	}
	return ""
}
