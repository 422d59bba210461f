package scaffold

import (
	"cmp"
	"encoding/json"
	"path"
	"regexp"
	"strings"
)

// source says where a language's program lies and what is kept beside it.
func (s *Service) source(language, image, command, port string, cache map[string]string) {
	s.Language, s.Image, s.Command, s.Mount, s.Port, s.Cache = language, image, command, "/src", port, cache
}

// first is the first group of a match in text.
func first(pattern, text string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

func golang(f folder, s *Service) bool {
	if !f.has("go.mod") {
		return false
	}
	program := "."
	if !f.has("main.go") {
		for _, main := range f.glob("cmd/*/main.go") {
			program = "./cmd/" + path.Base(path.Dir(main))
			break
		}
	}
	version := cmp.Or(first(`(?m)^go (\d+\.\d+)`, f.read("go.mod")), "1")
	s.source("Go", "golang:"+version, "go run "+program, "8080", map[string]string{"go-cache": "/root/.cache/go-build", "go-modules": "/go/pkg/mod"})
	return true
}

func node(f folder, s *Service) bool {
	var manifest struct {
		Scripts         map[string]string
		Main            string
		Engines         struct{ Node string }
		Dependencies    map[string]string
		DevDependencies map[string]string
	}
	if json.Unmarshal([]byte(f.read("package.json")), &manifest) != nil {
		return false
	}
	install, run := "npm install", "npm run "
	switch {
	case f.has("pnpm-lock.yaml"):
		install, run = "corepack enable && pnpm install", "pnpm run "
	case f.has("yarn.lock"):
		install, run = "corepack enable && yarn install", "yarn run "
	}
	script := cmp.Or(manifest.Scripts["dev"], manifest.Scripts["start"])
	switch {
	case manifest.Scripts["dev"] != "":
		run += "dev"
	case manifest.Scripts["start"] != "":
		run += "start"
	case manifest.Main != "":
		run = "node " + manifest.Main
	default:
		return false // a library, or the tools of a repository
	}
	port := "3000"
	for _, known := range [][2]string{{"vite", "5173"}, {"@angular/core", "4200"}, {"astro", "4321"}, {"gatsby", "8000"}} {
		if manifest.Dependencies[known[0]]+manifest.DevDependencies[known[0]] != "" {
			port = known[1]
		}
	}
	vite := port == "5173"
	port = cmp.Or(first(`(?:-p|--port)[ =](\d{2,5})\b`, script), first(`\bPORT=(\d{2,5})\b`, script), port)
	if vite && strings.HasSuffix(run, "run dev") {
		run += " -- --host 0.0.0.0"
	}
	version := cmp.Or(first(`(\d+)`, manifest.Engines.Node), "22")
	s.source("Node.js", "node:"+version, `sh -c "`+install+" && "+run+`"`, port, map[string]string{"node-modules": "/src/node_modules"})
	return true
}

func python(f folder, s *Service) bool {
	install := ""
	switch {
	case f.has("requirements.txt"):
		install = "pip install -r requirements.txt"
	case f.has("pyproject.toml"), f.has("setup.py"):
		install = "pip install -e ."
	case f.has("Pipfile"):
		install = "pip install pipenv && pipenv install --system"
	case f.has("manage.py"):
		install = "pip install django"
	default:
		return false
	}
	needs := strings.ToLower(f.read("requirements.txt") + f.read("pyproject.toml") + f.read("Pipfile"))
	program := "main"
	for _, name := range []string{"main", "app", "server", "wsgi"} {
		if f.has(name + ".py") {
			program = name
			break
		}
	}
	run, port := "python "+program+".py", "8000"
	switch {
	case f.has("manage.py"):
		run = "python manage.py runserver 0.0.0.0:8000"
	case strings.Contains(needs, "fastapi"), strings.Contains(needs, "uvicorn"), strings.Contains(needs, "starlette"):
		run = "uvicorn " + program + ":app --host 0.0.0.0 --reload"
	case strings.Contains(needs, "flask"):
		run, port = "flask --app "+program+" run --host 0.0.0.0 --debug", "5000"
	case strings.Contains(needs, "streamlit"):
		run, port = "streamlit run "+program+".py --server.address 0.0.0.0", "8501"
	}
	version := cmp.Or(first(`^(3\.\d+)`, f.read(".python-version")), first(`requires-python *= *"[^0-9"]*(3\.\d+)`, f.read("pyproject.toml")), "3")
	s.source("Python", "python:"+version, `sh -c "`+install+" && "+run+`"`, port, map[string]string{"pip-cache": "/root/.cache/pip"})
	return true
}

func ruby(f folder, s *Service) bool {
	if !f.has("Gemfile") {
		return false
	}
	gems := f.read("Gemfile")
	run, port := "bundle exec rackup --host 0.0.0.0 --port 9292", "9292"
	switch {
	case first(`(?m)^\s*gem ["'](rails)["']`, gems) != "":
		run, port = "bin/rails server -b 0.0.0.0", "3000"
	case first(`(?m)^\s*gem ["'](jekyll)["']`, gems) != "":
		run, port = "bundle exec jekyll serve --host 0.0.0.0", "4000"
	}
	version := cmp.Or(first(`^(?:ruby-)?(\d+\.\d+)`, f.read(".ruby-version")), first(`(?m)^ruby ["'][^0-9"']*(\d+\.\d+)`, gems), "3")
	s.source("Ruby", "ruby:"+version, `sh -c "bundle install && `+run+`"`, port, map[string]string{"gems": "/usr/local/bundle"})
	return true
}

func java(f folder, s *Service) bool {
	gradle := f.read("build.gradle") + f.read("build.gradle.kts")
	switch {
	case f.has("pom.xml"):
		run := "mvn compile exec:java"
		pom := f.read("pom.xml")
		switch {
		case strings.Contains(pom, "spring-boot"):
			run, s.spring = "mvn spring-boot:run", true
		case strings.Contains(pom, "quarkus"):
			run = "mvn quarkus:dev -Dquarkus.http.host=0.0.0.0"
		}
		version := cmp.Or(first(`<(?:java\.version|maven\.compiler\.(?:release|source))>(\d+)<`, pom), "21")
		s.source("Java", "maven:3-eclipse-temurin-"+version, run, "8080", map[string]string{"maven": "/root/.m2"})
	case gradle != "":
		run := "gradle run"
		if strings.Contains(gradle, "org.springframework.boot") {
			run, s.spring = "gradle bootRun", true
		}
		version := cmp.Or(first(`JavaLanguageVersion\.of\((\d+)\)`, gradle), "21")
		s.source("Java", "gradle:jdk"+version, run, "8080", map[string]string{"gradle": "/home/gradle/.gradle"})
	default:
		return false
	}
	return true
}

func rust(f folder, s *Service) bool {
	if !f.has("Cargo.toml") {
		return false
	}
	port := "8080"
	if strings.Contains(f.read("Cargo.toml"), "rocket") {
		port = "8000"
	}
	s.source("Rust", "rust:1", "cargo run", port, map[string]string{"cargo": "/usr/local/cargo/registry", "target": "/src/target"})
	return true
}

func php(f folder, s *Service) bool {
	switch {
	case f.has("artisan"):
		s.source("PHP", "composer:2", `sh -c "composer install && php artisan serve --host 0.0.0.0"`, "8000", nil)
	case f.has("composer.json") || f.has("index.php"):
		s.Language, s.Image, s.Mount, s.Port = "PHP", "php:8-apache", "/var/www/html", "80"
	default:
		return false
	}
	return true
}
