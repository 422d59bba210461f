package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Hostname is what RUN sees unless BUILDKIT_SANDBOX_HOSTNAME is given: the
// machine's own has no place in an image.
const Hostname = "buildkitsandbox"

func (e *stageEval) run(c *instructions.RunCommand, cmd command) error {
	r := &Run{
		Env: e.env.lines(), Proxy: proxyEnv(e.f.o.Args), Dir: e.dir(), User: e.Image.Config.User,
		Network: instructions.GetNetwork(c), Security: instructions.GetSecurity(c), Hostname: Hostname,
	}
	if h := e.f.o.Args["BUILDKIT_SANDBOX_HOSTNAME"]; h != "" {
		r.Hostname = h
	}
	for _, d := range instructions.GetDevices(c) {
		r.Devices = append(r.Devices, d.Name)
	}
	title := e.title(c, true)
	args, err := e.runLine(c, r)
	if err != nil {
		return err
	}
	if len(c.Files) == 1 && parser.MustParseHeredoc(strings.Join(c.CmdLine, " ")) != nil {
		title += " (" + summary(c.Files[0].Data) + ")"
	}
	if c.PrependShell {
		args = e.withShell(args)
	}
	if len(args) == 0 {
		return errors.New("RUN without a command")
	}
	r.Args = args
	if r.Mounts, err = e.mounts(c); err != nil {
		return err
	}
	n := e.history(true, "RUN %s", e.runHistory(args))
	e.step(cmd, Step{Name: title, History: n, Run: r})
	return nil
}

// runLine is the command as the shell gets it, with its heredocs.
func (e *stageEval) runLine(c *instructions.RunCommand, r *Run) ([]string, error) {
	if len(c.Files) == 0 {
		return c.CmdLine, nil
	}
	if len(c.CmdLine) != 1 || !c.PrependShell {
		return nil, fmt.Errorf("a heredoc does not fit the command %q", c.CmdLine)
	}
	if parser.MustParseHeredoc(c.CmdLine[0]) == nil {
		// More than just a heredoc: the shell puts it together.
		var b strings.Builder
		b.WriteString(c.CmdLine[0])
		for _, f := range c.Files {
			b.WriteString("\n" + f.Data + f.Name)
		}
		return []string{b.String()}, nil
	}
	f := c.Files[0]
	data := f.Data
	if f.Chomp {
		data = parser.ChompHeredocContent(data)
	}
	if !strings.HasPrefix(data, "#!") {
		return []string{data}, nil
	}
	r.Script = &Content{Name: f.Name, Data: data}
	return []string{path.Join(ScriptDir, f.Name)}, nil
}

func summary(doc string) string {
	first, _, more := strings.Cut(strings.TrimSpace(doc), "\n")
	if more {
		first += "..."
	}
	return strings.TrimRight(first, "\r")
}

// runHistory is how Docker notes a RUN: "|2 A=1 B=2 /bin/sh -c ...".
func (e *stageEval) runHistory(args []string) string {
	var words []string
	index := map[string]int{}
	for _, a := range e.args {
		v, ok := e.env.Get(a.Key)
		if !ok {
			v = a.ValueString()
		}
		if i, ok := index[a.Key]; ok {
			words[i] = a.Key + "=" + v
			continue
		}
		index[a.Key] = len(words)
		words = append(words, a.Key+"="+v)
	}
	if len(words) > 0 {
		words = append([]string{fmt.Sprintf("|%d", len(words))}, words...)
	}
	return strings.Join(append(words, args...), " ")
}

func (e *stageEval) dir() string { return path.Join("/", e.Image.Config.WorkingDir) }

// mounts finds sources and targets of --mount.
func (e *stageEval) mounts(c *instructions.RunCommand) ([]Mount, error) {
	var out []Mount
	for _, im := range instructions.GetMounts(c) {
		m := Mount{Mount: im}
		var err error
		switch im.Type {
		case instructions.MountTypeSecret:
			err = m.secret()
		case instructions.MountTypeSSH:
			err = m.ssh()
		case instructions.MountTypeTmpfs:
			m.From = Source{Kind: Scratch}
		case instructions.MountTypeCache:
			m.From = Source{Kind: Scratch}
			if im.CacheID == "" {
				im.CacheID = path.Clean(im.Target)
			}
			if ns := e.f.o.Args["BUILDKIT_CACHE_MOUNT_NS"]; ns != "" {
				im.CacheID = ns + "/" + im.CacheID
			}
		default:
			m.From = Source{Kind: Context}
		}
		if err == nil && im.From != "" && m.From.Kind != "" && im.Type != instructions.MountTypeTmpfs {
			m.From, err = e.f.from(e.stage, im.From)
		}
		if err != nil {
			return nil, err
		}
		if im.Target != "" || im.Type != instructions.MountTypeSecret && im.Type != instructions.MountTypeSSH {
			if !path.IsAbs(im.Target) {
				im.Target = path.Join(e.dir(), im.Target)
			}
			if im.Target = path.Clean(im.Target); im.Target == "/" {
				return nil, fmt.Errorf("invalid mount target %q", im.Target)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// secret settles the id and, unless only a variable was asked for, the file.
func (m *Mount) secret() error {
	if m.Source != "" {
		m.CacheID = m.Source
	}
	if m.CacheID == "" {
		if m.Target == "" {
			return errors.New("invalid secret mount: one of source, target required")
		}
		m.CacheID = path.Base(m.Target)
	}
	if m.Env == nil && m.Target == "" {
		m.Target = "/run/secrets/" + path.Base(m.CacheID)
	}
	if m.Env != nil && *m.Env == "" {
		m.Env = &m.CacheID
	}
	return nil
}

func (m *Mount) ssh() error {
	if m.Source != "" {
		return errors.New("ssh does not support source")
	}
	if m.CacheID == "" {
		m.CacheID = "default"
	}
	return nil
}
