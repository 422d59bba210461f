package watch

import (
	"devstack/compose"
	"devstack/engine/watch/derive"
)

// derived are the rules that x-devstack.watch asks for.
func (c *compiler) derived(name string, s *compose.Service) []derive.Rule {
	x, ok := s.Extensions[compose.ExtensionKey].(map[string]any)
	if !ok || x["watch"] == nil {
		return nil
	}
	note := func(message, hint string, fatal bool) {
		c.findings = append(c.findings, Finding{
			Pos: c.p.Pos("services", name, compose.ExtensionKey, "watch"), Service: name, Message: message, Hint: hint, Fatal: fatal,
		})
	}
	o, err := derive.ParseOptions(x["watch"])
	if err != nil {
		note(err.Error(), "", true)
		return nil
	}
	if !o.Auto {
		return nil
	}
	b := s.Build
	if b == nil {
		note("x-devstack.watch: auto derives rules from a Dockerfile, and service \""+name+"\" has no build", "write the rules in develop.watch", true)
		return nil
	}
	in := derive.Input{
		Context: b.Context, Contexts: b.AdditionalContexts, Name: b.DockerfilePath(), Target: b.Target,
		Text: []byte(b.DockerfileInline), Command: s.Command, Entrypoint: s.Entrypoint, Options: o,
		Args: map[string]string{}, Image: c.o.Image,
	}
	if c.o.Stat != nil {
		in.IsDir = func(path string) (dir, known bool) {
			info, err := c.o.Stat(path)
			return err == nil && info.IsDir(), err == nil
		}
	}
	for k, v := range b.Args {
		if v != nil {
			in.Args[k] = *v
		}
	}
	if b.DockerfileInline == "" {
		if c.o.ReadFile == nil {
			return nil
		}
		if in.Text, err = c.o.ReadFile(in.Name); err != nil {
			note(err.Error(), "", true)
			return nil
		}
	}
	rules, remarks, err := derive.Rules(in)
	if err != nil {
		note(err.Error(), "", true)
		return nil
	}
	for _, r := range remarks {
		note(r, "", false)
	}
	return rules
}
