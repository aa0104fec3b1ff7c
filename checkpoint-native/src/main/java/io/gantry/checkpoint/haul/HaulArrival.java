package io.gantry.checkpoint.haul;

import com.dynatrace.hash4j.hashing.HashStream128;
import com.dynatrace.hash4j.hashing.Hashing;
import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.HaulWish;
import io.gantry.checkpoint.image.haul_begin;
import io.gantry.checkpoint.image.haul_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileTree;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * The files of a container at the destination of a move. They are built in stages; {@link #place} puts them where they belong, when everything has come and
 * before anything is opened, or {@link #placeEarly} when a runtime needs them. One thread.
 */
public final class HaulArrival {
  private static final String COMING =
      "Files of the container %s, which were on their way here when the move came to nothing. The next move of it to here begins with them.";

  private final String container;
  private final Path directory;
  private final HaulMemory memory;
  /** Where they are at the source, and here. */
  private final Map<Path, Path> volumes;
  /** Those that stay at the source. */
  private final Set<Path> staying;

  private final Map<Path, Optional<TreeIndex>> known = new LinkedHashMap<>();
  private final Map<Integer, TreeArrival> trees = new LinkedHashMap<>();
  private final Map<Path, Stage> stages = new LinkedHashMap<>();
  private final HashStream128 digest = Hashing.xxh3_128().hashStream();
  private boolean placed;

  /**
   * @param directory the host's own for the container
   * @param volumes what the source is asked for, by its path there, and where it is to be here
   */
  public HaulArrival(String container, Path directory, SequencedMap<Path, Path> volumes, HaulMemory memory) {
    this(container, directory, volumes, Set.of(), memory);
  }

  /** @param staying those of them, by their path at the source, that stay there, too, because nothing of them changes */
  public HaulArrival(String container, Path directory, SequencedMap<Path, Path> volumes, Set<Path> staying, HaulMemory memory) {
    this.staying = Set.copyOf(staying);
    this.container = container;
    this.directory = directory;
    this.volumes = new LinkedHashMap<>(volumes);
    this.memory = memory;
    volumes.forEach((there, here) -> {
      var stage = Stage.of(here, container);
      stages.put(there, stage);
      known.put(there, memory.take(container, here).filter(index -> stage.holds(index.token)));
    });
  }

  /** What to ask the source for. */
  public List<HaulWish> wishes() {
    return volumes.keySet().stream().map(this::wish).toList();
  }

  private HaulWish wish(Path volume) {
    boolean stays = staying.contains(volume);
    return known.get(volume)
        .map(index -> new HaulWish(volume.toString(), index.token, index.sequence, stays))
        .orElseGet(() -> new HaulWish(volume.toString(), "", 0, stays));
  }

  /** Takes a message as it came. */
  public void accept(byte[] message) throws InvalidProtocolBufferException {
    digest.putInt(message.length).putBytes(message);
    var entry = haul_entry.parseFrom(message);
    if (entry.hasBegin()) {
      begin(entry.getBegin());
    }
    var tree = trees.get(entry.getVolume());
    if (tree == null) {
      throw new CheckpointException("the source sends files of a volume that it has not named");
    }
    tree.apply(entry);
  }

  private void begin(haul_begin begin) {
    var volume = Path.of(begin.getPath());
    var stage = stages.get(volume);
    if (stage == null) {
      throw new CheckpointException("the source sends files of " + volume + ", which it was not asked for");
    }
    var index = known.get(volume).filter(left -> begin.getResumed() && left.token.equals(begin.getToken()));
    if (begin.getResumed() && index.isEmpty()) {
      throw new CheckpointException("the source goes on with files of " + volume + " that are not here; the move can be tried again");
    }
    if (index.isEmpty()) {
      stage.clear(COMING.formatted(container), begin.getToken());
    }
    // From here on, since the agent may die at any time.
    memory.left(stage);
    trees.put(begin.getVolume(), new TreeArrival(stage, index.orElseGet(() -> new TreeIndex(begin.getToken()))));
  }

  /** Where a path of the container's lies until {@link #place}. */
  public String here(String path) {
    if (placed || volumes.isEmpty()) {
      return path;
    }
    for (var entry : stages.entrySet()) {
      var volume = entry.getKey().toString();
      if (path.equals(volume) || path.startsWith(volume + "/")) {
        return entry.getValue().home().resolve("tree") + path.substring(volume.length());
      }
    }
    return path;
  }

  /** As {@link HaulCapture#digest}. */
  public String digest() {
    return digest.get().toString();
  }

  /** Everything has come. */
  public void place() {
    placeEarly(0);
    trees.values().forEach(TreeArrival::settle);
  }

  /**
   * Something is to be made of the files before everything has come: puts them where they belong, and what comes from here on is
   * done there. Does nothing when they are there already.
   *
   * @param group of this host that may get at them before everything has come, beside root
   */
  public void placeEarly(int group) {
    if (placed) {
      return;
    }
    if (trees.size() != volumes.size()) {
      throw new CheckpointException("not all volumes have come");
    }
    placed = true;
    // Before, so that whoever finds half of them in their place takes them from it.
    HaulNote.HAULED.write(directory, List.copyOf(volumes.values()));
    trees.values().forEach(tree -> tree.place(group));
  }

  /** The container runs here. Only now, since the pause must not wait for a disk, is everything written to it. */
  public void activated() {
    HaulNote.HAULED.forget(directory);
    trees.values().forEach(tree -> {
      var stage = tree.stage();
      int fd = Fd.open(stage.volume().toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
      memory.put(container, stage.volume(), tree.index());
      tree.close();
      Thread.ofPlatform().daemon().name("writes " + stage.volume() + " to its disk").start(() -> {
        try {
          stage.remove();
          memory.taken(stage);
          FileTree.sync(fd);
        } catch (CheckpointException unable) {
          // The kernel writes it by itself, and what is left of the stage is empty.
        } finally {
          Fd.close(fd);
        }
      });
    });
    trees.clear();
  }

  /** The container is not to run here. What has come stays in its stage. */
  public void discard() {
    var failed = new ArrayList<RuntimeException>();
    for (var tree : trees.values()) {
      try {
        if (placed) {
          tree.unplace();
        }
        tree.close();
        memory.left(tree.stage());
        memory.put(container, tree.stage().volume(), tree.index());
      } catch (RuntimeException e) {
        failed.add(e);
      }
    }
    // Those that were never begun are as they were.
    known.forEach((volume, index) -> index.filter(left -> trees.values().stream().noneMatch(tree -> tree.index() == left))
        .ifPresent(left -> memory.put(container, volumes.get(volume), left)));
    trees.clear();
    HaulNote.HAULED.forget(directory);
    if (!failed.isEmpty()) {
      throw failed.getFirst();
    }
  }

  /** A held copy stays; only what belongs to the agent goes. */
  public void release() {
    trees.values().forEach(TreeArrival::close);
  }
}
