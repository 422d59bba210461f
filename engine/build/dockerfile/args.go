package dockerfile

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
)

// platformArgs are the arguments that every Dockerfile has in its global
// scope. --build-arg may override them.
func platformArgs(o Options, target string) *env {
	if target == "" {
		target = "default"
	}
	e := newEnv(nil)
	add := func(prefix string, p ocispec.Platform, full string) {
		e.set(prefix+"PLATFORM", full)
		e.set(prefix+"OS", p.OS)
		e.set(prefix+"OSVERSION", p.OSVersion)
		e.set(prefix+"ARCH", p.Architecture)
		e.set(prefix+"VARIANT", p.Variant)
	}
	add("BUILD", o.BuildPlatform, image.FormatPlatform(o.BuildPlatform))
	add("TARGET", o.Platform, image.FormatPlatform(o.Platform))
	e.set("TARGETSTAGE", target)
	for _, k := range e.keys {
		if v, ok := o.Args[k]; ok {
			e.set(k, v)
		}
	}
	return e
}

// globalArgs are platformArgs and the ARGs before the first FROM, with the
// values given for the build.
func globalArgs(e *env, lex *shell.Lex, cmds []instructions.ArgCommand, given map[string]string) (*env, error) {
	e = e.clone()
	for _, cmd := range cmds {
		for _, kv := range cmd.Args {
			v, ok := given[kv.Key]
			switch {
			case ok:
				e.set(kv.Key, v)
			case kv.Value != nil:
				res, err := lex.ProcessWordWithMatches(*kv.Value, e)
				if err != nil {
					return nil, parser.WithLocation(err, cmd.Location())
				}
				e.set(kv.Key, res.Result)
			}
		}
	}
	return e, nil
}

// proxyNames are the predefined arguments that reach RUN without ARG, and
// neither the cache key nor the history.
func proxyNames() []string {
	return []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
}

// proxyEnv is what the given arguments say about proxies, in both spellings.
func proxyEnv(given map[string]string) []string {
	var out []string
	for _, name := range proxyNames() {
		for _, k := range []string{name, strings.ToLower(name)} {
			if v, ok := given[k]; ok {
				out = append(out, name+"="+v, strings.ToLower(name)+"="+v)
				break
			}
		}
	}
	return out
}

func isProxy(key string) bool {
	return slices.Contains(proxyNames(), strings.ToUpper(key))
}

// UnusedArgs are the --build-args that no ARG takes, by name. Docker warns of
// them. Predefined ones are always taken.
func (f *File) UnusedArgs() []string {
	used := map[string]bool{}
	for _, k := range f.global.keys {
		used[k] = true
	}
	for _, s := range f.Stages {
		for _, c := range s.commands {
			if a, ok := c.Command.(*instructions.ArgCommand); ok {
				for _, kv := range a.Args {
					used[kv.Key] = true
				}
			}
		}
	}
	var out []string
	for k := range f.o.Args {
		if !used[k] && !isProxy(k) && k != "SOURCE_DATE_EPOCH" && !strings.HasPrefix(k, "BUILDKIT_") {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
