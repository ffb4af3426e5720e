import { useSession } from '../app/context';
import { colorsOf, inOrder, percentOf, spoken, type Part } from './split';

/** A model's calls as a bar: what goes where. It moves when the weights do. */
export function SplitBar(props: { parts: readonly Part[]; label: string }) {
  const { language } = useSession();
  const parts = inOrder(props.parts);
  const colors = colorsOf(parts);
  return (
    <div class="split-view">
      <div class="split-bar" role="img" aria-label={`${props.label}: ${spoken(parts, language)}`}>
        {parts.map((part, at) => (
          <div key={part.name} class={`fill-${colors[at]}`} style={{ flexGrow: part.weight }} />
        ))}
      </div>
      <ul class="split-names">
        {parts.map((part, at) => (
          <li key={part.name} class={part.weight === 0 ? 'quiet' : ''}>
            <span class={`dot fill-${colors[at]}`} aria-hidden="true" />
            {part.name} <span class="mono">{part.version}</span> <strong>{percentOf(part.weight, language)}</strong>
          </li>
        ))}
      </ul>
    </div>
  );
}
