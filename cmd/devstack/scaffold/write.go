package scaffold

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// YAML writes the proposal as a project file.
func (p Proposal) YAML(name string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by `devstack init`: a beginning. Change what is wrong.\nname: %s\n\nservices:\n", name)
	volumes := map[string]bool{}
	used := map[int]bool{} // host ports
	for _, s := range p.Services {
		p.service(&b, s, volumes, used)
	}
	for _, db := range p.Databases {
		db.write(&b, volumes)
	}
	if len(volumes) > 0 {
		b.WriteString("\nvolumes:\n")
		for _, v := range slices.Sorted(maps.Keys(volumes)) {
			fmt.Fprintf(&b, "  %s:\n", v)
		}
	}
	return []byte(b.String())
}

func (p Proposal) service(b *strings.Builder, s Service, volumes map[string]bool, used map[int]bool) {
	dir := "./" + s.Dir
	if s.Dir == "." {
		dir = "."
	}
	if s.Language != "" {
		fmt.Fprintf(b, "  # %s\n", s.Language)
	}
	fmt.Fprintf(b, "  %s:\n", s.Name)
	if s.Build {
		fmt.Fprintf(b, "    build: %s\n", dir)
	} else {
		fmt.Fprintf(b, "    image: %s\n", s.Image)
	}
	if s.Command != "" {
		fmt.Fprintf(b, "    command: %s\n", s.Command)
	}
	if s.Mount != "" {
		fmt.Fprintf(b, "    working_dir: %s\n    volumes:\n      - %s:%s\n", s.Mount, dir, s.Mount)
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Cache)) {
		volume := s.Name + "-" + kind
		volumes[volume] = true
		fmt.Fprintf(b, "      - %s:%s\n", volume, s.Cache[kind])
	}
	if s.Port != "" {
		host := 0
		fmt.Sscan(s.Port, &host)
		if host < 1024 {
			host += 8000
		}
		for used[host] {
			host++
		}
		used[host] = true
		fmt.Fprintf(b, "    ports:\n      - \"%d:%s\"\n", host, s.Port)
	}
	p.needs(b, s)
}

// needs writes what a service uses of the databases.
func (p Proposal) needs(b *strings.Builder, s Service) {
	if len(s.Uses) == 0 {
		return
	}
	b.WriteString("    environment:\n")
	for _, db := range p.Databases {
		if slices.Contains(s.Uses, db.Name) {
			for _, kv := range db.address(s) {
				fmt.Fprintf(b, "      %s: %s\n", kv[0], kv[1])
			}
		}
	}
	b.WriteString("    depends_on:\n")
	for _, db := range p.Databases {
		if !slices.Contains(s.Uses, db.Name) {
			continue
		}
		condition := "service_healthy"
		if db.Check == "" {
			condition = "service_started"
		}
		fmt.Fprintf(b, "      %s: {condition: %s}\n", db.Name, condition)
	}
}

func (db Database) write(b *strings.Builder, volumes map[string]bool) {
	fmt.Fprintf(b, "  %s:\n    image: %s\n", db.Name, db.Image)
	if len(db.Environment) > 0 {
		b.WriteString("    environment:\n")
		for _, kv := range db.Environment {
			fmt.Fprintf(b, "      %s: %q\n", kv[0], kv[1])
		}
	}
	if db.Check != "" {
		fmt.Fprintf(b, "    healthcheck:\n      test: %s\n      interval: 5s\n      retries: 10\n", db.Check)
	}
	if db.Volume != "" {
		volumes[db.Name+"-data"] = true
		fmt.Fprintf(b, "    volumes:\n      - %s-data:%s\n", db.Name, db.Volume)
	}
}
