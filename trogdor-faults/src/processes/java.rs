//! What a Java process is called: read from its command line, since `jcmd` does not see every JVM
//! (`-XX:-UsePerfData` hides one) and need not be installed.

/// Options of the launcher whose value is a word of its own (java(1)).
const WITH_VALUE: [&str; 15] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--enable-native-access",
    "--source",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--describe-module",
];

/// What `jcmd` prints behind the pid: the main class, module or jar with its arguments; `None` if the
/// command line runs none.
pub(super) fn name(argv: &[String]) -> Option<String> {
    let mut words = argv.iter().skip(1);
    let mut file = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            option if WITH_VALUE.contains(&option) => {
                words.next();
            }
            // What follows is the main program.
            "-jar" | "-m" | "--module" => return words.next().map(|main| join(main, words)),
            option if option.starts_with('-') => {}
            // A file of options; it may name the main program too.
            option if option.starts_with('@') => file = Some(word),
            _ => return Some(join(word, words)),
        }
    }
    file.cloned()
}

fn join<'a>(first: &str, rest: impl Iterator<Item = &'a String>) -> String {
    rest.fold(first.to_owned(), |name, word| name + " " + word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_process_is_called_as_jcmd_calls_it() {
        let rows = [
            ("java -Xmx1g -cp a:b kafka.Kafka server.properties", Some("kafka.Kafka server.properties")),
            ("/usr/bin/java -jar some.jar x", Some("some.jar x")),
            ("java --add-opens java.base/x=ALL -Dk=kafka.Kafka Main", Some("Main")),
            ("java -m mod/Main y", Some("mod/Main y")),
            ("java @options Main -jar", Some("Main -jar")),
            ("java @everything", Some("@everything")),
            ("java -version", None),
            ("java -jar", None),
        ];
        for (line, expected) in rows {
            let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(name(&argv).as_deref(), expected, "{line}");
        }
    }
}
