package derive

import (
	"path"
	"slices"
	"strings"
)

// action is what follows a copy to target into the running service.
func (d *deriver) action(target string) string {
	if d.in.Options.Action != "" {
		return d.in.Options.Action
	}
	words := d.command
	if len(words) == 3 && words[1] == "-c" {
		words = strings.Fields(words[2])
	}
	switch {
	case reloads(words):
		return syncAction
	case interpreted(words), within("/etc", target):
		return restartAction
	case len(words) > 0 && strings.Contains(words[0], "/") && within(target, d.absolute(words[0])):
		return restartAction // the program itself
	}
	return syncAction
}

// absolute is a path of the container as its program sees it.
func (d *deriver) absolute(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(d.workingDir, p)
}

// within says whether a path is dir or in it.
func within(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// interpreted says whether a command runs code that it reads once.
func interpreted(words []string) bool {
	for _, w := range words {
		name := strings.TrimRight(path.Base(w), "0123456789.")
		switch name {
		case "python", "pypy", "node", "nodejs", "ruby", "perl", "deno", "bun", "java", "gunicorn", "uvicorn", "hypercorn", "flask",
			"django-admin", "celery", "puma", "rails", "bundle", "rackup", "npm", "yarn", "pnpm", "npx", "tsx", "ts-node", "sh", "bash",
			"lua", "erl", "elixir", "mix", "Rscript", "julia":
			return true
		}
		switch path.Ext(w) {
		case ".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl", ".sh":
			return true
		}
	}
	return false
}

// reloads says whether a command watches its own files.
func reloads(words []string) bool {
	for i, w := range words {
		switch path.Base(w) {
		case "nodemon", "watchexec", "entr", "air", "reflex", "watchmedo", "vite", "webpack-dev-server", "ts-node-dev", "--reload",
			"--watch", "--hot", "--debug", "dev", "watch", "runserver", "livereload", "browser-sync":
			return true
		case "rails":
			return true // its development server reads what it serves
		case "next", "nuxt", "ng", "astro":
			return slices.Contains(words[i:], "dev") || slices.Contains(words[i:], "serve")
		}
		if strings.HasPrefix(w, "--reload") || strings.HasPrefix(w, "--watch") {
			return true
		}
	}
	return false
}
