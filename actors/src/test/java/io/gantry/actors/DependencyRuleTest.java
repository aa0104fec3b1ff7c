package io.gantry.actors;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** The actors touch the kernel and the network only through interfaces, and their decisions nothing at all. */
class DependencyRuleTest {
  private static final JavaClasses ACTORS =
      new ClassFileImporter().withImportOption(new ImportOption.DoNotIncludeTests()).importPackages("io.gantry.actors");

  @Test
  void onlyTheEnginesTopPackageIsUsed() {
    noClasses().should().dependOnClassesThat().resideInAnyPackage("io.gantry.checkpoint.*..").check(ACTORS);
  }

  @Test
  void theTransportIsUsedInOnePlaceAndAeronNowhere() {
    noClasses()
        .that()
        .haveNameNotMatching("io\\.gantry\\.actors\\.AeronPageLinks.*")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("io.gantry.transport..")
        .check(ACTORS);
    noClasses().should().dependOnClassesThat().resideInAnyPackage("io.aeron..", "org.agrona..").check(ACTORS);
  }

  @Test
  void thereAreNoNativeCalls() {
    noClasses().should().dependOnClassesThat().haveFullyQualifiedName("java.lang.foreign.Linker").check(ACTORS);
  }

  @Test
  void messagesBetweenHostsCarryNoActorReferences() {
    classes().that().resideInAPackage("io.gantry.actors.protocol").should().onlyDependOnClassesThat()
        .resideOutsideOfPackage("akka..").check(ACTORS);
  }

  @Test
  void decisionsArePure() {
    classes()
        .that()
        .haveNameMatching("io\\.gantry\\.actors\\.migration\\.(SourceTransition|DestinationTransition|FreezePolicy|PauseModel).*")
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage("java.lang..", "java.util", "java.util.stream", "java.util.function", "java.time",
            "io.gantry.checkpoint", "io.gantry.actors..")
        .andShould()
        .onlyDependOnClassesThat()
        .haveNameNotMatching(
            "java\\.time\\.(Clock|Instant)|java\\.util\\.(Random|UUID)|io\\.gantry\\.actors\\.(World|BlockingLane|LedgerActor).*")
        .check(ACTORS);
  }

  @Test
  void nothingReadsAClockOrDrawsARandomNumberButTheWiringAndTheFileOfTheLedger() {
    noClasses()
        .that()
        .haveNameNotMatching("io\\.gantry\\.actors\\.(GantryNodeSystem|ledger\\.FileLedger|AeronPageLinks).*")
        .should()
        .callMethod(System.class, "nanoTime")
        .orShould()
        .callMethod(System.class, "currentTimeMillis")
        .orShould()
        .dependOnClassesThat()
        .haveNameMatching(
            "java\\.util\\.(Random|UUID)|java\\.security\\.SecureRandom"
                + "|java\\.time\\.(Instant|Clock)|java\\.util\\.concurrent\\.ThreadLocalRandom")
        .check(ACTORS);
  }

  @Test
  void nothingPointsBack() {
    noClasses().should().dependOnClassesThat().resideInAnyPackage("io.gantry.node..", "io.gantry.simulation..").check(ACTORS);
  }
}
