package io.gantry.node.cluster;

import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import javax.tools.ToolProvider;

/**
 * The programs in {@code src/test/workloads} that tests move: what it takes to start one. Each checks itself without pause, says in files how it
 * is (see {@code report.h} there), and finds damage that it does to itself when told so, which {@link ProgramsNoticeDamageTest} proves.
 */
enum TestProgram {
  /** A shell that starts processes without pause. */
  FORKS("forks.sh", 0),
  /** A Python program with a lot of memory. Argument: MiB. */
  BYTES("bytes.py", 1),
  /** A Java program with many threads and a growing heap. Arguments: MiB, threads. */
  HEAP("Heap.java", 2),
  /** Threads that wait for each other and for time. Argument: threads. */
  FUTEX("futex.c", 1),
  /** Processes that share memory, by intent and copy-on-write. Arguments: MiB private, MiB shared, children. */
  PREFORK("prefork.c", 3),
  /** A process that changes its mappings, threads and children all the time. Argument: MiB. */
  CHURN("churn.c", 1),
  /** One of everything. Arguments: {@code -NAME} for items to be left out. */
  EVERYTHING("everything.c", 0),
  /** Memory that is written at a chosen rate. Arguments: MiB, pages per second. */
  DIRTY("dirty.c", 2),
  /** Files that are written, cut, renamed and deleted all the time. Arguments: one or two directories for them. */
  STORAGE("storage.c", 1),
  /** One that would betray a second copy of itself. Arguments: MiB, threads. */
  WITNESS("witness.c", 2);

  static final Path SOURCES = Path.of(System.getProperty("basedir", "."), "src", "test", "workloads").toAbsolutePath().normalize();
  private static final Path BUILT = Path.of(System.getProperty("basedir", "."), "target", "workloads").toAbsolutePath().normalize();
  private static final List<String> COMPILER =
      List.of("gcc", "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation", "-D_GNU_SOURCE", "-pthread");
  private static final long COMPILE_SECONDS_MAX = 120;

  private final String source;
  private final int argumentsMin;

  TestProgram(String source, int argumentsMin) {
    this.source = source;
    this.argumentsMin = argumentsMin;
  }

  /**
   * The command line, compiled when it has to be.
   *
   * @param directory the program's own, which exists
   */
  List<String> command(Path directory, String... arguments) {
    if (arguments.length < argumentsMin) {
      throw new IllegalArgumentException(this + " needs " + argumentsMin + " arguments");
    }
    var command = new ArrayList<String>();
    Path file = SOURCES.resolve(source);
    switch (source.substring(source.lastIndexOf('.'))) {
      case ".sh" -> command.addAll(List.of("/bin/sh", file.toString()));
      // The distribution's own: another one on the PATH may be a wrapper.
      case ".py" -> command.addAll(List.of("/usr/bin/python3", file.toString()));
      case ".java" -> command.addAll(javaCommand(file, arguments));
      case ".c" -> command.add(compiled(file).toString());
      default -> throw new IllegalStateException(source);
    }
    command.add(directory.toString());
    command.addAll(List.of(arguments));
    return command;
  }

  private static List<String> javaCommand(Path file, String... arguments) {
    Path classes = built(file, List.of("javac"), output -> compileJava(file, output));
    long mebibytes = Long.parseLong(arguments[0]);
    return List.of(
        JavaProcess.java().toString(), "-Xms64m", "-Xmx" + mebibytes * 2 + "m", "-XX:+UseG1GC", "-cp", classes.toString(), "Heap");
  }

  /** The program that a C file is compiled to. */
  static Path compiled(Path file) {
    return built(
        file,
        COMPILER,
        output -> {
          var command = new ArrayList<>(COMPILER);
          command.addAll(List.of("-o", output.toString(), file.toString()));
          run(command);
        });
  }

  /** Compiles a C program into a file that needs no library. */
  static void compileStatically(Path file, Path program) {
    var command = new ArrayList<>(COMPILER);
    command.addAll(List.of("-static", "-o", program.toString(), file.toString()));
    run(command);
  }

  private static void compileJava(Path file, Path output) {
    try {
      Files.createDirectory(output);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    int status = ToolProvider.getSystemJavaCompiler().run(null, null, null, "-Xlint:all", "-Werror", "-d", output.toString(), file.toString());
    if (status != 0) {
      throw new AssertionError(file + " does not compile");
    }
  }

  private interface Build {
    void into(Path output);
  }

  /** What was built from this content once is not built again; two builds at once do no harm. */
  private static Path built(Path file, List<String> with, Build build) {
    try {
      var hash = new CRC32C();
      hash.update(String.join(" ", with).getBytes(StandardCharsets.UTF_8));
      try (Stream<Path> sources = Files.walk(SOURCES)) {
        for (Path source : sources.filter(each -> each.equals(file) || each.toString().endsWith(".h")).sorted().toList()) {
          hash.update(Files.readAllBytes(source));
        }
      }
      String name = file.getFileName().toString();
      name = name.substring(0, name.lastIndexOf('.'));
      Path result = BUILT.resolve(Long.toHexString(hash.getValue())).resolve(name);
      if (!Files.exists(result)) {
        Files.createDirectories(result.getParent());
        Path scratch = Files.createTempDirectory(BUILT, "building");
        try {
          build.into(scratch.resolve(name));
          Files.move(scratch.resolve(name), result, StandardCopyOption.ATOMIC_MOVE);
        } catch (java.nio.file.FileSystemException overtaken) {
          if (!Files.exists(result)) {
            throw overtaken;
          }
        } finally {
          try (Stream<Path> left = Files.walk(scratch)) {
            left.sorted(Comparator.reverseOrder()).forEach(each -> each.toFile().delete());
          }
        }
      }
      return result;
    } catch (IOException failure) {
      throw new UncheckedIOException("building " + file, failure);
    }
  }

  private static void run(List<String> command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (!process.waitFor(COMPILE_SECONDS_MAX, TimeUnit.SECONDS) || process.exitValue() != 0) {
        throw new AssertionError(String.join(" ", command) + ":\n" + output);
      }
    } catch (IOException failure) {
      throw new AssertionError("the tests compile C programs: apt-get install gcc libc6-dev", failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }
}
