package io.gantry.checkpoint.haul;

import com.dynatrace.hash4j.hashing.HashStream128;
import com.dynatrace.hash4j.hashing.Hashing;
import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.HaulWish;
import io.gantry.checkpoint.PageSink;
import io.gantry.checkpoint.image.haul_begin;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/** The files of a container at the source of a move: passes while it runs, and the last one in the freeze. One thread. */
public final class HaulCapture implements AutoCloseable {
  /** What the owner's note says in files that are left after a move. */
  static final String LEFT =
      "Files of the container %s, which has moved to another host or never ran here. The next move of it to here begins with them.";

  /** Passes follow each other until one is as short as this. */
  private static final long SHORT_NS = 10_000_000;

  /** No more are made when the last was not this much shorter than the one before. */
  private static final double WORTH = 0.7;

  private static final int PASSES_MAX = 12;
  private static final int OWNER_MAY_WRITE = 0200;

  /** @param stays whether it is left in its place when the container has moved */
  private record Tree(Stage stage, TreeIndex index, HaulWriter out, TreeCapture capture, boolean stays) {}

  private final String container;
  private final HaulMemory memory;
  private final List<Tree> trees = new ArrayList<>();
  private final HashStream128 digest = Hashing.xxh3_128().hashStream();
  private volatile int passes;
  private boolean closed;

  /**
   * Begins to watch; nothing is sent yet.
   *
   * @param wishes what the destination wants; not empty
   */
  public HaulCapture(String container, List<HaulWish> wishes, HaulMemory memory) {
    this.container = container;
    this.memory = memory;
    try {
      for (int i = 0; i < wishes.size(); i++) {
        begin(i, wishes.get(i));
      }
    } catch (RuntimeException failed) {
      close();
      throw failed;
    }
  }

  private void begin(int number, HaulWish wish) {
    var path = Path.of(wish.path());
    var known = memory.take(container, path).filter(index -> index.token.equals(wish.token()) && index.sequence >= wish.sequence());
    known.ifPresent(index -> index.resume(wish.sequence()));
    var index = known.orElseGet(() -> new TreeIndex(UUID.randomUUID().toString()));
    var stage = Stage.of(path, container);
    var out = new HaulWriter(number, index, digest);
    trees.add(new Tree(stage, index, out, new TreeCapture(path, stage.excluded(), index, out), wish.stays()));
    out.begin(haul_begin.newBuilder().setVolume(number).setPath(wish.path()).setToken(index.token).setResumed(known.isPresent()).build());
  }

  /** What is taken from its place when the container has moved. */
  public List<Path> volumes() {
    return trees.stream().filter(tree -> !tree.stays).map(tree -> tree.stage.volume()).toList();
  }

  /** While the container runs: passes until another would be no shorter. @param pids its processes */
  public void passes(PageSink sink, Collection<Integer> pids) {
    long before = Long.MAX_VALUE;
    for (int i = 0; i < PASSES_MAX; i++) {
      long begin = System.nanoTime();
      pass(sink, mapped(pids), Set.of(), false);
      long took = System.nanoTime() - begin;
      if (took < SHORT_NS || i > 0 && took > before * WORTH) {
        return;
      }
      before = took;
    }
  }

  /** While it stands still: the rest. */
  public void last(PageSink sink, Collection<Integer> pids) {
    pass(sink, mapped(pids), written(pids), true);
  }

  private void pass(PageSink sink, Set<Long> mapped, Set<Long> written, boolean last) {
    passes++;
    for (var tree : trees) {
      tree.out.to(sink);
      tree.capture.pass(mapped, written, last);
    }
  }

  /** Inode numbers of files that are mapped shared, and so may change without anybody being told. */
  private static Set<Long> mapped(Collection<Integer> pids) {
    var found = new HashSet<Long>();
    for (int pid : pids) {
      try {
        Maps.read(pid).stream().filter(mapping -> mapping.shared() && mapping.inode() != 0).forEach(mapping -> found.add(mapping.inode()));
      } catch (ProcessGoneException ended) {
        // What it has written last is told when its mappings go.
      }
    }
    return found;
  }

  /** Those that are open for writing, and may have been mapped since the last pass. */
  private static Set<Long> written(Collection<Integer> pids) {
    var found = new HashSet<Long>();
    for (int pid : pids) {
      var directory = "/proc/" + pid + "/fd/";
      try {
        for (int number : ProcText.numbers(directory)) {
          var link = FileStatus.ofLink(directory + number);
          if (link.isPresent() && (link.get().mode() & OWNER_MAY_WRITE) != 0) {
            FileStatus.of(directory + number).filter(status -> status.type() == FileStatus.S_IFREG).ifPresent(status -> found.add(status.inode()));
          }
        }
      } catch (IOException ended) {
        // It has nothing open any more.
      }
    }
    return found;
  }

  /** Digest over all that was sent, which the destination has to find as well. */
  public String digest() {
    return digest.get().toString();
  }

  /** How far it is. Any thread. */
  public Capture.HaulFigures figures() {
    long files = 0;
    long bytes = 0;
    for (var tree : trees) {
      files += tree.capture.files();
      bytes += tree.out.dataBytes();
    }
    return new Capture.HaulFigures(passes, files, bytes);
  }

  /** The container has moved: its files go from their place, and the way back may begin with them. */
  public void moved() {
    close();
    for (var tree : trees.stream().filter(tree -> !tree.stays).toList()) {
      tree.stage.putAway(LEFT.formatted(container), tree.index.token);
      memory.left(tree.stage);
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    trees.forEach(tree -> {
      tree.capture.close();
      memory.put(container, tree.stage.volume(), tree.index);
    });
  }
}
