package io.gantry.node.cluster;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * A program in {@code src/test/workloads/kinds}: it has kernel objects of one kind and looks at each of them when asked; see {@code kind.h}
 * there. A new file there is tested without a line of Java.
 *
 * @param name the file's, without {@code .c}
 */
record KindProgram(String name) {
  private static final Path SOURCES = TestProgram.SOURCES.resolve("kinds");

  /** All of them, by name. */
  static List<KindProgram> all() {
    try (Stream<Path> files = Files.list(SOURCES)) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(file -> file.endsWith(".c"))
          .sorted()
          .map(file -> new KindProgram(file.substring(0, file.length() - 2)))
          .toList();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** @param directory the program's own, which exists */
  List<String> command(Path directory) {
    return List.of(TestProgram.compiled(SOURCES.resolve(name + ".c")).toString(), directory.toString());
  }

  /** Compiles it into a file that needs no library, for a root file system that has none. */
  void compileStatically(Path program) {
    TestProgram.compileStatically(SOURCES.resolve(name + ".c"), program);
  }

  @Override
  public String toString() {
    return name;
  }
}
