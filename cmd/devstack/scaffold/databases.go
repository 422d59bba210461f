package scaffold

import (
	"regexp"
	"strings"
)

// Database is a server that a program talks to.
type Database struct {
	Name        string
	Image       string
	Environment [][2]string
	Volume      string // path of its data
	Check       string // healthcheck, as a command line
	Variable    string // what programs read its address from
	URL         string
	pattern     *regexp.Regexp // of what depends on it
}

// address is what a service reads to find the database: for Spring Boot the
// settings of its data source.
func (db Database) address(s Service) [][2]string {
	if jdbc := map[string]string{"postgres": "postgresql", "mysql": "mysql"}[db.Name]; jdbc != "" && s.spring {
		_, at, _ := strings.Cut(db.URL, "@")
		return [][2]string{
			{"SPRING_DATASOURCE_URL", "jdbc:" + jdbc + "://" + at},
			{"SPRING_DATASOURCE_USERNAME", "app"},
			{"SPRING_DATASOURCE_PASSWORD", "app"},
		}
	}
	return [][2]string{{db.Variable, db.URL}}
}

// mentioned are the files that tell which libraries a program uses, and which
// addresses it expects.
var mentioned = []string{
	"go.mod", "package.json", "requirements.txt", "pyproject.toml", "Pipfile", "Gemfile", "pom.xml", "build.gradle", "build.gradle.kts",
	"Cargo.toml", "composer.json", ".env.example", ".env.sample", ".env.dist", "config/database.yml", "prisma/schema.prisma",
	"src/main/resources/application.properties", "src/main/resources/application.yml",
}

func databases() []Database {
	list := []Database{
		{
			Name: "postgres", Image: "postgres:17", Volume: "/var/lib/postgresql/data",
			Environment: [][2]string{{"POSTGRES_USER", "app"}, {"POSTGRES_PASSWORD", "app"}, {"POSTGRES_DB", "app"}},
			Check:       "pg_isready -U app", Variable: "DATABASE_URL", URL: "postgres://app:app@postgres:5432/app",
		},
		{
			Name: "mysql", Image: "mysql:8", Volume: "/var/lib/mysql",
			Environment: [][2]string{{"MYSQL_USER", "app"}, {"MYSQL_PASSWORD", "app"}, {"MYSQL_DATABASE", "app"}, {"MYSQL_ROOT_PASSWORD", "root"}},
			Check:       "mysqladmin ping -h 127.0.0.1 -uapp -papp", Variable: "MYSQL_URL", URL: "mysql://app:app@mysql:3306/app",
		},
		{
			Name: "mongo", Image: "mongo:8", Volume: "/data/db",
			Check: `mongosh --quiet --eval "db.adminCommand('ping').ok"`, Variable: "MONGO_URL", URL: "mongodb://mongo:27017/app",
		},
		{
			Name: "redis", Image: "redis:8", Volume: "/data",
			Check: "redis-cli ping", Variable: "REDIS_URL", URL: "redis://redis:6379/0",
		},
		{
			Name: "rabbitmq", Image: "rabbitmq:4", Volume: "/var/lib/rabbitmq",
			Check: "rabbitmq-diagnostics -q ping", Variable: "AMQP_URL", URL: "amqp://guest:guest@rabbitmq:5672/",
		},
		{
			Name: "elasticsearch", Image: "elasticsearch:9.0.1", Volume: "/usr/share/elasticsearch/data",
			Environment: [][2]string{{"discovery.type", "single-node"}, {"xpack.security.enabled", "false"}},
			Check:       "curl -fs http://127.0.0.1:9200/_cluster/health", Variable: "ELASTICSEARCH_URL", URL: "http://elasticsearch:9200",
		},
		{
			Name: "memcached", Image: "memcached:1", Variable: "MEMCACHED_URL", URL: "memcached:11211",
		},
	}
	for i, words := range []string{
		`postgres|psycopg|asyncpg|\bpgx?\b|lib/pq|pgsql|["']pg["']`,
		`mysql|mariadb|pymysql`,
		`mongo`,
		`redis|ioredis|sidekiq|celery\[redis`,
		`amqp|rabbitmq|\bpika\b|bunny`,
		`elasticsearch|opensearch`,
		`memcache|dalli`,
	} {
		list[i].pattern = regexp.MustCompile(words)
	}
	return list
}

// mentions says whether a folder's program uses a database.
func (f folder) mentions(db Database) bool {
	for _, name := range mentioned {
		text := strings.ToLower(f.read(name))
		if text != "" && db.pattern.MatchString(text) {
			return true
		}
	}
	return false
}
