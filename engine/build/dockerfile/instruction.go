package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/sys/signal"

	"devstack/engine/image"
)

func (e *stageEval) setEnv(c *instructions.EnvCommand, lint *linter.Linter) {
	msg := "ENV"
	for _, kv := range c.Env {
		if kv.NoDelim {
			lint.Run(&linter.RuleLegacyKeyValueFormat, c.Location(), linter.RuleLegacyKeyValueFormat.Format(c.Name()))
		}
		lintSecret("ENV", kv.Key, c.Location(), lint)
		msg += " " + kv.String()
		e.env.set(kv.Key, kv.Value)
		e.Image.Config.Env = setLine(e.Image.Config.Env, kv.Key, kv.Value)
	}
	e.history(false, "%s", msg)
}

// arg declares arguments: the value given for the build wins over the default,
// and without either that of the global scope counts.
func (e *stageEval) arg(c *instructions.ArgCommand, lint *linter.Linter) error {
	var words []string
	for _, a := range c.Args {
		lintSecret("ARG", a.Key, c.Location(), lint)
		given, ok := e.f.o.Args[a.Key]
		switch {
		case ok:
			a.Value = &given
		case a.Value != nil:
			v, unmatched, err := e.lex().ProcessWord(*a.Value, e.env)
			e.lintUnmatched(unmatched, c.Location(), lint)
			if err != nil {
				return err
			}
			a.Value = &v
		default:
			if v, ok := e.f.global.Get(a.Key); ok {
				a.Value = &v
			}
		}
		word := a.Key
		if a.Value != nil {
			e.env.set(a.Key, *a.Value)
			word += "=" + *a.Value
		}
		e.args = append(e.args, a)
		words = append(words, word)
	}
	e.history(false, "ARG %s", strings.Join(words, " "))
	return nil
}

func (e *stageEval) workdir(c *instructions.WorkdirCommand, cmd command, lint *linter.Linter) {
	if !e.workdirSet && !path.IsAbs(c.Path) {
		lint.Run(&linter.RuleWorkdirRelativePath, c.Location(), linter.RuleWorkdirRelativePath.Format(c.Path))
	}
	e.workdirSet = true
	dir := path.Join("/", e.Image.Config.WorkingDir, c.Path)
	if path.IsAbs(c.Path) {
		dir = path.Clean(c.Path)
	}
	name := e.title(c, false)
	e.Image.Config.WorkingDir = dir
	n := e.history(dir != "/", "WORKDIR %s", dir)
	if dir != "/" {
		e.step(cmd, Step{Name: name, History: n, Workdir: &Workdir{Path: dir, User: e.Image.Config.User}})
	}
}

// metadata are the instructions that only change the configuration.
func (e *stageEval) metadata(cmd instructions.Command, lint *linter.Linter) error {
	cfg := &e.Image.Config
	switch c := cmd.(type) {
	case *instructions.MaintainerCommand:
		e.Image.Author = c.Maintainer
		e.history(false, "MAINTAINER %s", c.Maintainer)
	case *instructions.LabelCommand:
		e.label(c, lint)
	case *instructions.OnbuildCommand:
		cfg.OnBuild = append(cfg.OnBuild, c.Expression)
	case *instructions.CmdCommand:
		lintOnce(c, &e.cmd, lint)
		cfg.Cmd = e.commandLine(c, c.ShellDependantCmdLine, lint)
		e.history(false, "CMD %q", cfg.Cmd)
	case *instructions.EntrypointCommand:
		lintOnce(c, &e.entrypoint, lint)
		cfg.Entrypoint = e.commandLine(c, c.ShellDependantCmdLine, lint)
		if !e.cmd.set {
			cfg.Cmd = nil // that of the base was for another entrypoint
		}
		e.history(false, "ENTRYPOINT %q", cfg.Entrypoint)
	case *instructions.HealthCheckCommand:
		lintOnce(c, &e.health, lint)
		h := c.Health
		cfg.Healthcheck = &image.Healthcheck{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout,
			StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
		e.history(false, "HEALTHCHECK %+v", *cfg.Healthcheck)
	case *instructions.ExposeCommand:
		return e.expose(c, lint)
	case *instructions.UserCommand:
		cfg.User = c.User
		e.history(false, "USER %s", c.User)
	case *instructions.VolumeCommand:
		return e.volume(c)
	case *instructions.StopSignalCommand:
		if _, err := signal.ParseSignal(c.Signal); err != nil {
			return err
		}
		cfg.StopSignal = c.Signal
		e.history(false, "STOPSIGNAL %s", c.Signal)
	case *instructions.ShellCommand:
		cfg.Shell = c.Shell
		e.history(false, "SHELL %v", c.Shell)
	default:
		return fmt.Errorf("instruction %s is not known", strings.ToUpper(cmd.Name()))
	}
	return nil
}

func (e *stageEval) label(c *instructions.LabelCommand, lint *linter.Linter) {
	if e.Image.Config.Labels == nil {
		e.Image.Config.Labels = map[string]string{}
	}
	msg := "LABEL"
	for _, kv := range c.Labels {
		if kv.NoDelim {
			lint.Run(&linter.RuleLegacyKeyValueFormat, c.Location(), linter.RuleLegacyKeyValueFormat.Format(c.Name()))
		}
		e.Image.Config.Labels[kv.Key] = kv.Value
		msg += " " + kv.String()
	}
	e.history(false, "%s", msg)
}

func (e *stageEval) volume(c *instructions.VolumeCommand) error {
	if e.Image.Config.Volumes == nil {
		e.Image.Config.Volumes = map[string]struct{}{}
	}
	for _, v := range c.Volumes {
		if v == "" {
			return errors.New("VOLUME specified can not be an empty string")
		}
		e.Image.Config.Volumes[v] = struct{}{}
	}
	e.history(false, "VOLUME %v", c.Volumes)
	return nil
}

// commandLine is what CMD or ENTRYPOINT puts into the configuration.
func (e *stageEval) commandLine(c instructions.Command, line instructions.ShellDependantCmdLine, lint *linter.Linter) []string {
	if !line.PrependShell {
		return line.CmdLine
	}
	if len(e.Image.Config.Shell) == 0 {
		lint.Run(&linter.RuleJSONArgsRecommended, c.Location(), linter.RuleJSONArgsRecommended.Format(c.Name()))
	}
	return e.withShell(line.CmdLine)
}

// withShell is a line for the stage's shell.
func (e *stageEval) withShell(args []string) []string {
	sh := []string{"/bin/sh", "-c"}
	if len(e.Image.Config.Shell) > 0 {
		sh = append([]string(nil), e.Image.Config.Shell...)
	}
	return append(sh, strings.Join(args, " "))
}
