import { useEffect, useState } from 'preact/hooks';
import type { RegisteredModel, RegisteredModels } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { usePages } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { Listing, Page, Pager, ReadOnly, Search, Time } from '../../ui/parts';
import { RegistryModelPage } from './model_page';
import { patternOf } from './served';
import { Tags } from './tags';
import { RegistryVersionPage } from './version_page';

const PAGE = 100;
const TYPING_MS = 250;

export function RegistryRoom(props: { item: string }) {
  const [model = '', version = ''] = props.item.split('/');
  if (version !== '') return <RegistryVersionPage key={props.item} model={model} version={version} />;
  return model === '' ? <RegistryList /> : <RegistryModelPage key={model} model={model} />;
}

function RegistryList() {
  const t = useTexts();
  const { client } = useSession();
  const [typed, setTyped] = useParam<string>('q', '');
  const [wanted, setWanted] = useState(typed.trim());
  useEffect(() => {
    const timer = window.setTimeout(() => setWanted(typed.trim()), TYPING_MS);
    return () => window.clearTimeout(timer);
  }, [typed]);
  const pages = usePages([wanted]);
  const query = new URLSearchParams({ limit: String(PAGE), order: 'name', ...(wanted !== '' && { ilike: patternOf(wanted) }), ...(pages.cursor !== '' && { after: pages.cursor }) });
  const list = useData((signal) => client.get<RegisteredModels>(`/v1/registry/models?${query}`, signal), [client, wanted, pages.cursor], 5000);
  const rows = list.data?.data ?? [];
  const columns = [
    { key: 'name', title: t('models.model'), cell: (row: RegisteredModel) => <span class="mono">{row.name}</span> },
    { key: 'latest', title: t('registry.latest'), number: true, cell: (row: RegisteredModel) => row.latest ?? t('app.none') },
    { key: 'aliases', title: t('registry.aliases'), cell: (row: RegisteredModel) => <Tags tags={Object.fromEntries(Object.entries(row.aliases).map(([name, version]) => [name, String(version)]))} /> },
    { key: 'tags', title: t('registry.tags'), wide: true, cell: (row: RegisteredModel) => <Tags tags={row.tags} /> },
    { key: 'tenant', title: t('registry.tenant'), wide: true, cell: (row: RegisteredModel) => row.tenant ?? t('limits.everyone') },
    { key: 'updated', title: t('registry.updated'), wide: true, cell: (row: RegisteredModel) => <Time at={row.updated_at} /> },
  ];
  return (
    <Page
      title={t('room.registry')}
      actions={
        <>
          <ReadOnly />
          <Search value={typed} onChange={setTyped} />
        </>
      }
    >
      <Listing
        of={list}
        off={t('registry.off')}
        rows={rows}
        empty={t(wanted === '' ? 'registry.empty' : 'models.noMatch')}
        label={t('room.registry')}
        columns={columns}
        rowKey={(row) => row.name}
        href={(row) => hashOf('registry', row.name)}
        pager={<Pager pages={pages} size={PAGE} shown={rows.length} next={list.data?.next ?? null} />}
      />
    </Page>
  );
}
